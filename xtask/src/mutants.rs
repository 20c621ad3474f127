//! `cargo xtask mutants`: breaks the code on purpose, one line at a time, in a copy, and checks that the named test
//! turns red. A test that stays green on its mutant does not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fault::{Done, During as _, Fault};
use crate::process::{cargo, quietly, root, target};
use crate::services::{POSTGRES, Postgres};
use crate::terminal::{bold, dim, green, red};
use crate::{clients, guests};

/// Which mutants.
#[derive(clap::Args)]
pub(crate) struct MutantsArgs {
    /// Only those whose name holds one of these.
    filters: Vec<String>,
    /// Names them and their tests, and runs nothing.
    #[arg(long)]
    list: bool,
}

/// One sabotage and the test that must notice.
struct Mutant {
    name: String,
    file: String,
    find: String,
    replace: String,
    package: String,
    test: String,
    /// Whether the test runs the hub's binary, which then has to be built with the sabotage in.
    binary: bool,
}

/// Runs them.
///
/// # Errors
/// When a mutant survives, or no longer fits the code.
pub(crate) fn run(arguments: &MutantsArgs) -> Done {
    let list = root().join("xtask/mutants.toml");
    let mutants = parse(&fs::read_to_string(&list).during(list.display())?)?;
    let wanted = |mutant: &&Mutant| {
        arguments.filters.is_empty() || arguments.filters.iter().any(|filter| mutant.name.contains(filter.as_str()))
    };
    let chosen: Vec<&Mutant> = mutants.iter().filter(wanted).collect();
    if arguments.list {
        for mutant in &chosen {
            println!("{} {}", bold(&mutant.name), dim(format!("{} {}", mutant.package, mutant.test)));
        }
        return Ok(());
    }
    let bench = Bench::new()?;
    let mut sound = BTreeSet::new();
    let mut faults = Vec::new();
    for mutant in &chosen {
        let outcome = bench.judge(mutant, &mut sound);
        match &outcome {
            Ok(()) => println!("{} {}: noticed by {}", green("✓"), mutant.name, mutant.test),
            Err(fault) => println!("{} {}: {fault}", red("✗"), mutant.name),
        }
        faults.extend(outcome.err().map(|_| mutant.name.clone()));
    }
    println!("\n{} noticed, {} not", chosen.len() - faults.len(), faults.len());
    if faults.is_empty() { Ok(()) } else { Err(Fault::new(format!("not noticed: {}", faults.join(", ")))) }
}

fn parse(text: &str) -> Done<Vec<Mutant>> {
    let table: toml::Table = text.parse().during("xtask/mutants.toml")?;
    let entries = table.get("mutant").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    let mutant = |entry: &toml::Value| {
        let field = |name: &str| entry.get(name).and_then(toml::Value::as_str).map(str::to_owned);
        let need = |name: &str| field(name).ok_or_else(|| Fault::new(format!("a mutant has no `{name}`: {entry}")));
        Ok(Mutant {
            name: need("name")?,
            file: need("file")?,
            find: need("find")?,
            replace: need("replace")?,
            package: need("package")?,
            test: need("test")?,
            binary: entry.get("binary").and_then(toml::Value::as_bool).unwrap_or(false),
        })
    };
    entries.iter().map(mutant).collect()
}

/// The copy of the project that is broken, with its own build.
struct Bench {
    tree: PathBuf,
    target: PathBuf,
    clients: PathBuf,
    postgres: Option<Postgres>,
    /// Each package's integration tests.
    targets: BTreeMap<String, Vec<String>>,
}

impl Bench {
    fn new() -> Done<Self> {
        guests::build()?;
        guests::build_test_guests()?;
        let clients = clients::install()?;
        let folder = target().join("mutants");
        let tree = folder.join("tree");
        let _ = fs::remove_dir_all(&tree);
        copy(&root(), &tree)?;
        println!("  {}", dim("the copy has a build of its own: the first takes as long as a fresh clone's"));
        let built = folder.join("target");
        link_plugins(&built)?;
        Ok(Self { tree, target: built, clients, postgres: Postgres::bring()?, targets: test_targets()? })
    }

    /// The test is green without the sabotage and red with it.
    fn judge(&self, mutant: &Mutant, sound: &mut BTreeSet<(String, String, bool)>) -> Done {
        let ground = (mutant.package.clone(), mutant.test.clone(), mutant.binary);
        if !sound.contains(&ground) {
            self.build(mutant)?;
            let said = quietly(&mut self.test(mutant, false)).map_err(|fault| {
                println!("{fault}");
                Fault::new("its test is red without it")
            })?;
            if !said.lines().any(|line| line.starts_with("test ") && line.ends_with("... ok")) {
                return Err(Fault::new(format!("no test is called {}", mutant.test)));
            }
            sound.insert(ground);
        }
        let path = self.tree.join(&mutant.file);
        let whole = fs::read_to_string(&path).during(path.display())?;
        let places = whole.matches(&mutant.find).count();
        if places != 1 {
            return Err(Fault::new(format!("its line is found {places} times in {}, not once", mutant.file)));
        }
        fs::write(&path, whole.replacen(&mutant.find, &mutant.replace, 1)).during(path.display())?;
        let built = self.build(mutant);
        let outcome = built.and_then(|()| match quietly(&mut self.test(mutant, false)) {
            Ok(_) => Err(Fault::new(format!("survived: {} stayed green", mutant.test))),
            Err(_) => Ok(()),
        });
        fs::write(&path, whole).during(path.display())?;
        outcome
    }

    fn build(&self, mutant: &Mutant) -> Done {
        if mutant.binary {
            let mut hub = self.cargo();
            quietly(hub.args(["build", "--workspace", "--bins"]))?;
        }
        // A sabotage that does not compile proves nothing.
        quietly(&mut self.test(mutant, true)).map(drop)
    }

    fn test(&self, mutant: &Mutant, build_only: bool) -> Command {
        let mut command = self.cargo();
        // Of the whole workspace, for the features of a part of it would build the world again.
        command.args(["test", "--workspace", "--lib", "--bins"]);
        for target in self.targets.get(&mutant.package).into_iter().flatten() {
            command.args(["--test", target]);
        }
        if build_only {
            command.arg("--no-run");
        } else {
            command.args([&mutant.test, "--", "--test-threads=2"]);
        }
        command
    }

    fn cargo(&self) -> Command {
        let mut command = cargo();
        command.current_dir(&self.tree).env("CARGO_TARGET_DIR", &self.target).env(clients::CLIENTS, &self.clients);
        if let Some(server) = &self.postgres {
            command.env(POSTGRES, &server.url);
        }
        command
    }
}

fn test_targets() -> Done<BTreeMap<String, Vec<String>>> {
    let said = quietly(cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let said: serde_json::Value = serde_json::from_str(&said).during("cargo metadata")?;
    let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let is_test = |target: &serde_json::Value| target["kind"][0] == "test";
    let tests = |package: &serde_json::Value| {
        list(&package["targets"]).iter().filter(|target| is_test(target)).map(|target| text(&target["name"])).collect()
    };
    Ok(list(&said["packages"]).iter().map(|package| (text(&package["name"]), tests(package))).collect())
}

/// The plugins and test guests of the real build, where tests of the copy look for them.
fn link_plugins(built: &Path) -> Done {
    for name in ["plugins", "test-guests"] {
        let folder = built.join(name);
        fs::create_dir_all(&folder).during(folder.display())?;
        for entry in fs::read_dir(target().join(name)).during(name)?.flatten() {
            let to = folder.join(entry.file_name());
            fs::copy(entry.path(), &to).during(to.display())?;
        }
    }
    Ok(())
}

/// Copies what git knows and what is new, as it is in the working tree.
fn copy(from: &Path, to: &Path) -> Done {
    let mut list = Command::new("git");
    let files = quietly(list.args(["ls-files", "-co", "--exclude-standard", "-z"]).current_dir(from))?;
    for file in files.split('\0').filter(|file| !file.is_empty()) {
        let (source, target) = (from.join(file), to.join(file));
        if !source.is_file() {
            continue;
        }
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).during(parent.display())?;
        }
        fs::copy(&source, &target).during(target.display())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The list is kept fit by the suite, so that it does not rot between runs of the mutants.
    #[test]
    fn every_mutant_fits_the_code() {
        let list = fs::read_to_string(root().join("xtask/mutants.toml")).expect("the list is there");
        let mutants = parse(&list).expect("the list is well formed");
        assert!(!mutants.is_empty(), "the list is empty");
        for mutant in &mutants {
            let text = fs::read_to_string(root().join(&mutant.file)).expect(&mutant.file);
            assert_eq!(text.matches(&mutant.find).count(), 1, "{}: {:?}", mutant.name, mutant.find);
            assert_ne!(mutant.find, mutant.replace, "{}", mutant.name);
        }
        let names: BTreeSet<&str> = mutants.iter().map(|mutant| mutant.name.as_str()).collect();
        assert_eq!(names.len(), mutants.len(), "two mutants have one name");
    }
}
