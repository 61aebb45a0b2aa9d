"""`kubectl dto`: a person's way to runs on a cluster. It asks the API server through `kubectl`, and buckets through `dto`."""
