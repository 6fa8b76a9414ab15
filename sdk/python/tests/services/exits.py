raise SystemExit("no config")
