"""The parts of `examples/demo.py`: one experiment a file, and the report, for gpt.py as well."""
