# Everything that CI runs: formatting, lints, all tests.
ci:
    bash tests/run

# The reference page, from the doc comments of the functions.
reference:
    cargo run --quiet -- doc --markdown > docs/reference.md

# Transcripts of the tutorial, from what the program prints.
transcripts:
    ACCEPT=1 cargo test --test tutorial

# nsscript beside C, ip, pyroute2 and Mininet, interleaved; needs root. `just bench --n 10,100` and so on.
bench *words:
    benches/setup
    cargo bench --bench lab -- {{words}}

# The tests of what this kernel may lack, in a machine of their own with a full one (qemu, some minutes): `just test-full kinds`.
test-full *tests:
    tests/full-kernel/run --install {{tests}}

# What CI runs of them: some of each family, in five minutes at most.
test-brief:
    tests/full-kernel/brief

# The undo under torture: random scripts, on the kernel and on its model, every cut of every script, strangers at work. Hours, not minutes; give it a number
# of random cases, and a first seed to go on from: just torture 10000 5000. With a little optimisation it takes half the time; faults
# need debug assertions, which it keeps.
torture cases="1000" seed="1" $CARGO_PROFILE_DEV_OPT_LEVEL="1":
    NSSCRIPT_TORTURE=1 NSSCRIPT_CASES={{cases}} NSSCRIPT_SEED={{seed}} cargo test --test property
    NSSCRIPT_CASES={{cases}} cargo test --test plan -- random
    NSSCRIPT_TORTURE=1 cargo test --test crash
    NSSCRIPT_TORTURE=1 cargo test --test matrix
    cargo test --test foreign
