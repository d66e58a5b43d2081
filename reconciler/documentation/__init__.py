"""What others write about their systems: read by section, found by topic, watched for changes."""
