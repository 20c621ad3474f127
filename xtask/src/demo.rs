//! `cargo xtask demo`: builds what the story needs and tells it. The story itself is examples/quickstart.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::fault::{Done, Fault};
use crate::guests;
use crate::process::{cargo, line, root, run, target};
use crate::terminal::{Phases, dim};

/// How the demo runs.
#[derive(clap::Args, Default)]
pub(crate) struct DemoArgs {
    /// Run to the end and leave; fails if anything is missing.
    #[arg(long)]
    pub(crate) once: bool,
    /// Where the hub listens; another port is taken if it is busy.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(crate) listen: String,
}

/// Builds, then becomes the story, so that Ctrl-C reaches it and nothing stands between.
///
/// # Errors
/// When something does not build, or the story cannot be started.
pub(crate) fn run_in_place(arguments: &DemoArgs, phases: &mut Phases) -> Done {
    let mut story = prepare(arguments, phases)?;
    let error = story.exec();
    Err(Fault::new(format!("`{}` did not start: {error}", line(&story))))
}

/// Builds, runs the story once to its end, and comes back.
///
/// # Errors
/// When something does not build, or anything in the story is missing.
pub(crate) fn once(phases: &mut Phases) -> Done {
    let arguments = DemoArgs { once: true, listen: "127.0.0.1:0".to_owned() };
    let mut story = prepare(&arguments, phases)?;
    phases.run("tell the story", || run(&mut story))
}

fn prepare(arguments: &DemoArgs, phases: &mut Phases) -> Done<Command> {
    println!("{}", dim("The first build takes some minutes; later ones seconds."));
    phases.run("build the plugins", guests::build)?;
    phases.run("build the hub", || run(cargo().args(["build", "--workspace", "--bins"])))?;
    phases.print();
    println!();
    let built = target().join("debug");
    let mut story = Command::new(built.join("rialto-quickstart"));
    story.arg("--hub-binary").arg(built.join("rialto"));
    story.arg("--plugins").arg(guests::folder());
    story.arg("--data").arg(root().join("rialto-data/demo"));
    story.arg("--listen").arg(&arguments.listen).current_dir(root());
    if arguments.once {
        story.arg("--once");
    }
    Ok(story)
}
