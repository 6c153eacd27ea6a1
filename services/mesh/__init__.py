"""What every service stands on: settings, server, channels, deadlines, errors, metrics, tracing, vectors."""
