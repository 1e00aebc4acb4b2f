"""What everything cost: machines' time metered exactly, and a file to which each request's share is added before its answer goes."""
