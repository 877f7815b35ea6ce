"""The formats of what is signed. Pure: no I/O, no clock; parsed here, believed nowhere."""
