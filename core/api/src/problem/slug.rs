//! The kinds of problem, one word each, with the page that explains it. A kind without a page does not compile.

use http::StatusCode;

macro_rules! slugs {
    ($($(#[$doc:meta])* $name:ident, $slug:literal, $status:ident, $title:literal;)*) => {
        /// What kind of problem it is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Slug {
            $($(#[$doc])* $name,)*
        }

        impl Slug {
            /// All of them, in the order of their pages.
            pub(crate) const ALL: &[Self] = &[$(Self::$name),*];

            /// The word in the problem's `type`.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $slug,)* }
            }

            /// The status it is answered with.
            pub(crate) const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            /// The sentence that is the same for every problem of the kind.
            pub(crate) const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// Its page, in Markdown.
            pub(crate) const fn page(self) -> &'static str {
                match self { $(Self::$name => include_str!(concat!("../../../../docs/problems/", $slug, ".md")),)* }
            }
        }
    };
}

slugs! {
    /// The request cannot be read: no JSON, or an unknown or bad query parameter.
    Malformed, "malformed", BAD_REQUEST, "The request cannot be read.";
    /// No credentials, or none that are known.
    Unauthenticated, "unauthenticated", UNAUTHORIZED, "The credentials are missing, unknown, expired or revoked.";
    /// Known credentials that do not allow this.
    Forbidden, "forbidden", FORBIDDEN, "These credentials do not allow this.";
    /// Nothing of that name, as far as the caller may know.
    NotFound, "not-found", NOT_FOUND, "There is nothing here.";
    /// The path is right, the method is not.
    MethodNotAllowed, "method-not-allowed", METHOD_NOT_ALLOWED, "This path does not take this method.";
    /// The body did not come in time.
    TooSlow, "too-slow", REQUEST_TIMEOUT, "The request's body did not come in time.";
    /// It clashes with something else.
    Conflict, "conflict", CONFLICT, "It clashes with something that is there.";
    /// The same idempotency key is being worked on.
    InProgress, "in-progress", CONFLICT, "A request with this idempotency key is still being answered.";
    /// The idempotency key's first answer held a secret, which is not kept.
    ShownOnce, "shown-once", CONFLICT, "This was done before, and its answer held a secret that is shown only once.";
    /// `If-Match` does not hold.
    Changed, "changed", PRECONDITION_FAILED, "It was changed since you read it.";
    /// The body is too large.
    TooLarge, "too-large", PAYLOAD_TOO_LARGE, "The request's body is too large.";
    /// The body is JSON, but says something that cannot be.
    Invalid, "invalid", UNPROCESSABLE_ENTITY, "Some fields are not as they must be.";
    /// The idempotency key was used for another request.
    KeyReused, "key-reused", UNPROCESSABLE_ENTITY, "This idempotency key belongs to another request.";
    /// Too much at once.
    TooMany, "too-many", TOO_MANY_REQUESTS, "There is too much of this at the moment.";
    /// A fault of ours.
    Internal, "internal", INTERNAL_SERVER_ERROR, "Something went wrong on our side.";
    /// Something the hub stands on does not answer.
    Unavailable, "unavailable", SERVICE_UNAVAILABLE, "This cannot be done at the moment.";
}

impl Slug {
    /// The kind that a word names.
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|slug| slug.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_opens_with_its_title_and_tells_status_and_remedy() {
        for slug in Slug::ALL {
            let page = slug.page();
            let status = slug.status().as_u16().to_string();
            assert!(
                page.starts_with(&format!("# {}\n", slug.title())),
                "{} does not open with its title",
                slug.as_str()
            );
            assert!(page.contains(&format!("`{}`", slug.as_str())), "{} does not name itself", slug.as_str());
            assert!(page.contains(&status), "{} does not say {status}", slug.as_str());
            assert!(page.contains("## What to do"), "{} does not say what to do", slug.as_str());
        }
    }

    #[test]
    fn no_page_is_left_over() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/problems");
        for page in std::fs::read_dir(folder).expect("the folder is there") {
            let name = page.expect("readable").file_name().into_string().expect("UTF-8");
            let slug = name.strip_suffix(".md").expect("only pages lie here");
            assert!(Slug::from_word(slug).is_some(), "{name} explains a problem that no longer exists");
        }
    }
}
