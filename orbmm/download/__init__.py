"""Files of the network: downloaded once, whole, within limits, and read before they are believed."""
