"""Why a signature is believed: certificates, logs, timestamps, judged under a trust root. Pure: no I/O, no clock."""
