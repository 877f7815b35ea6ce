"""One file a kind of key reference. `sealgate.keys.resolve` has the table, and the protocol they follow."""
