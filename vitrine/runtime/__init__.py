"""What every server does alike: lifecycle, settings, errors, metrics, logs, channels."""
