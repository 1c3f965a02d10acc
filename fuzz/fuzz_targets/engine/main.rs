//! The HTTP/1.1 engine by operations: what a driver, a caller, a user and a peer do, in whatever order.
//!
//! An input is a script; its first letters choose the settings, its operations are listed in [`world`]. Nothing is done
//! that the documentation of `Engine` does not allow. With `FUZZ_TRACE` set, each operation is told with what it led to.
//!
//! | file | what it is for |
//! |---|---|
//! | `world` | driver, transport, caller and user round one engine, and what each of them can do |
//! | `rules` | what must be true after each operation, and at the end |
//! | `words` | the requests, the pieces of responses, the settings and the ends to choose from |

#![no_main]

mod rules;
mod words;
mod world;

use adieu_fuzz::script::Script;
use libfuzzer_sys::fuzz_target;
use world::World;

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    let (config, security) = words::settings(&mut script);
    let last = words::mode(script.choice(4));
    let mut world = World::new(config, security);
    let tells = std::env::var_os("FUZZ_TRACE").is_some();
    while let Some(operation) = script.operation() {
        world.apply(operation, &mut script);
        if tells {
            eprintln!("{} {:?} {:?}", operation.escape_ascii(), world.engine.state(), world.caller.told);
        }
        world.check();
    }
    world.outlive(last);
});
