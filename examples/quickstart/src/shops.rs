//! Who takes part: three shops, what they sell, who visits them, and which events each wants delivered.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// How many visitors a shop has beside the one that the story follows.
const VISITORS: usize = 20;

/// A tenant of the hub.
pub struct Shop {
    /// Its short name.
    pub slug: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What its route lets through, in words.
    pub wants: &'static str,
    goods: [(&'static str, f64); 3],
    wanted: fn(&Value) -> bool,
    condition: fn() -> Option<Value>,
}

/// Which of a shop's two sources sends a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// The web shop: batches, as a server or a browser sends them.
    Web,
    /// The app: one call a request.
    App,
}

/// One call of the tracking API.
#[derive(Debug, Clone)]
pub struct Call {
    /// Which source sends it.
    pub via: Via,
    /// Its body, with `type` and `messageId`.
    pub body: Value,
}

/// The shops of the story.
pub const SHOPS: [Shop; 3] = [
    Shop {
        slug: "acme",
        name: "Acme Outdoor",
        wants: "sign-ups, carts and orders",
        goods: [("Two-person tent", 189.0), ("Down sleeping bag", 129.5), ("Gas stove", 39.9)],
        wanted: |body| matches!(name(body), "Signed Up" | "Product Added" | "Order Completed"),
        condition: || Some(json!({"field": "event.event", "in": ["Signed Up", "Product Added", "Order Completed"]})),
    },
    Shop {
        slug: "globex",
        name: "Globex Books",
        wants: "everything",
        goods: [("Atlas of the night sky", 48.0), ("A field guide to moss", 24.5), ("Bookplates, 50", 9.0)],
        wanted: |_| true,
        condition: || None,
    },
    Shop {
        slug: "initech",
        name: "Initech Coffee",
        wants: "orders of 40 and more",
        goods: [("Espresso beans, 3 kg", 66.0), ("Filter beans, 250 g", 9.5), ("Hand grinder", 59.0)],
        wanted: |body| name(body) == "Order Completed" && body["properties"]["total"].as_f64() >= Some(40.0),
        condition: || {
            Some(json!({"all": [
                {"field": "event.event", "eq": "Order Completed"},
                {"field": "event.properties.total", "gte": 40}
            ]}))
        },
    },
];

fn name(body: &Value) -> &str {
    body["event"].as_str().unwrap_or_default()
}

impl Shop {
    /// The condition of its route, as the API takes it; none lets everything through.
    pub fn condition(&self) -> Option<Value> {
        (self.condition)()
    }

    /// Whether a call should come out at the other end.
    pub fn wants(&self, call: &Call) -> bool {
        (self.wanted)(&call.body)
    }

    /// The email of the customer whom the story follows, as they typed it.
    pub fn email(&self) -> String {
        format!("Customer.One@{}.example", self.slug)
    }

    /// A morning at this shop, up to `now`: in order, and the same each time.
    pub fn morning(&self, now: Timestamp) -> Vec<Call> {
        let mut day = Day { shop: self, calls: Vec::new(), now };
        day.on_the_phone();
        for visitor in 0..VISITORS / 2 {
            day.visitor(visitor);
        }
        day.on_the_laptop();
        for visitor in VISITORS / 2..VISITORS {
            day.visitor(visitor);
        }
        day.back_on_the_phone();
        day.calls
    }
}

struct Day<'a> {
    shop: &'a Shop,
    calls: Vec<Call>,
    now: Timestamp,
}

impl Day<'_> {
    /// Someone looks around on a phone, and nobody knows who it is.
    fn on_the_phone(&mut self) {
        let phone = json!({"anonymousId": "phone-7f3a"});
        self.call(Via::App, &phone, json!({"type": "screen", "name": "Home"}));
        self.view(Via::App, &phone, 0);
    }

    /// The same person signs up on a laptop and orders. The hub cannot know yet.
    fn on_the_laptop(&mut self) {
        let laptop = json!({"anonymousId": "laptop-c41e"});
        self.call(Via::Web, &laptop, json!({"type": "page", "name": "Home", "properties": {"path": "/"}}));
        self.view(Via::Web, &laptop, 0);
        let known = json!({"anonymousId": "laptop-c41e", "userId": "customer-1"});
        let traits = json!({"email": self.shop.email(), "city": "Utrecht", "newsletter": true});
        self.call(Via::Web, &known, json!({"type": "identify", "traits": traits}));
        self.call(Via::Web, &known, json!({"type": "track", "event": "Signed Up", "properties": {"method": "email"}}));
        self.add(Via::Web, &known, 0);
        self.order(Via::Web, &known, 0, 1);
    }

    /// They log in on the phone, by the email alone: now the two devices are one person.
    fn back_on_the_phone(&mut self) {
        let phone = json!({"anonymousId": "phone-7f3a"});
        let traits = json!({"email": self.shop.email().to_lowercase(), "app_version": "4.2.0"});
        self.call(Via::App, &phone, json!({"type": "identify", "traits": traits}));
        self.view(Via::App, &phone, 2);
        self.add(Via::App, &phone, 2);
        self.order(Via::App, &phone, 2, 2);
    }

    /// Everybody looks, every other one fills a cart, every third one signs up and orders.
    fn visitor(&mut self, number: usize) {
        let via = if number % 4 == 3 { Via::App } else { Via::Web };
        let good = number % 3;
        let anonymous = json!({"anonymousId": format!("visitor-{number:02}")});
        if via == Via::Web {
            self.call(via, &anonymous, json!({"type": "page", "name": "Home", "properties": {"path": "/"}}));
        }
        self.view(via, &anonymous, good);
        if number.is_multiple_of(2) {
            self.add(via, &anonymous, good);
        }
        if number.is_multiple_of(3) {
            let user = format!("customer-{}", number + 10);
            let known = json!({"anonymousId": format!("visitor-{number:02}"), "userId": user});
            let email = format!("{user}@{}.example", self.shop.slug);
            self.call(via, &known, json!({"type": "identify", "traits": {"email": email}}));
            self.call(via, &known, json!({"type": "track", "event": "Signed Up", "properties": {"method": "email"}}));
            self.order(via, &known, good, 1 + number % 2);
        }
    }

    fn view(&mut self, via: Via, who: &Value, good: usize) {
        let (product, price) = self.shop.goods[good];
        let properties = json!({"product_id": format!("sku-{good}"), "name": product, "price": price});
        self.call(via, who, json!({"type": "track", "event": "Product Viewed", "properties": properties}));
    }

    fn add(&mut self, via: Via, who: &Value, good: usize) {
        let (product, price) = self.shop.goods[good];
        let properties = json!({"product_id": format!("sku-{good}"), "name": product, "price": price, "quantity": 1});
        self.call(via, who, json!({"type": "track", "event": "Product Added", "properties": properties}));
    }

    fn order(&mut self, via: Via, who: &Value, good: usize, quantity: usize) {
        let (product, price) = self.shop.goods[good];
        let total = price * f64::from(u32::try_from(quantity).unwrap_or(1));
        let id = format!("{}-{}", self.shop.slug, 1000 + self.calls.len());
        let products = json!([{"product_id": format!("sku-{good}"), "name": product, "quantity": quantity}]);
        let properties = json!({"order_id": id, "total": total, "currency": "EUR", "products": products});
        self.call(via, who, json!({"type": "track", "event": "Order Completed", "properties": properties}));
    }

    /// Puts a call together: who, what, when, and an id of its own.
    fn call(&mut self, via: Via, who: &Value, what: Value) {
        let number = self.calls.len();
        // The morning lies in the past, a call every 40 seconds, the last of them just now.
        let ago = SignedDuration::from_secs(40 * (120 - i64::try_from(number).unwrap_or(120).min(119)));
        let library = if via == Via::Web { "shop-web" } else { "shop-app" };
        let mut body = json!({
            "messageId": format!("{}-{number:03}", self.shop.slug),
            "timestamp": (self.now - ago).to_string(),
            "context": {"library": {"name": library, "version": "1.0.0"}},
        });
        for part in [who, &what] {
            for (key, value) in part.as_object().into_iter().flatten() {
                body[key] = value.clone();
            }
        }
        self.calls.push(Call { via, body });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_morning_is_the_same_each_time_and_each_call_has_its_own_id() {
        for shop in &SHOPS {
            let calls = shop.morning(Timestamp::UNIX_EPOCH);
            let mut ids: Vec<_> = calls.iter().map(|call| call.body["messageId"].to_string()).collect();
            ids.sort();
            ids.dedup();
            assert_eq!(ids.len(), calls.len());
            assert!((60..120).contains(&calls.len()), "{} calls", calls.len());
            let wanted = calls.iter().filter(|call| shop.wants(call)).count();
            assert!(wanted >= 4, "{}: {wanted} wanted", shop.slug);
        }
    }

    #[test]
    fn what_is_wanted_differs_from_shop_to_shop() {
        let counts: Vec<usize> = SHOPS
            .iter()
            .map(|shop| shop.morning(Timestamp::UNIX_EPOCH).iter().filter(|c| shop.wants(c)).count())
            .collect();
        assert!(counts[2] < counts[0] && counts[0] < counts[1], "{counts:?}");
    }
}
