"""The house behind HTTP: `app.create_app`, and `run.serve` for the command line."""
