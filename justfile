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
