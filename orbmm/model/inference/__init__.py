"""The network carried out for what molecular dynamics asks: fewer operations and fewer bytes, the same function."""
