"""What `sealgate initialize` leaves of the trust service's repository, without a server."""

from sealgate.truststore import cache, repository


def keep(folder, files, *, mirror, root=None):
    """Keep what these files say below `folder`; its path."""
    begin = root or files["1.root.json"]
    fetched = {f"{mirror}/{name}": data for name, data in files.items()}
    kept = repository.update_from(mirror, root=begin, fetched=fetched, names=(cache.TRUSTED_ROOT,))
    store = cache.Cache(str(folder))
    with store.lock():
        store.write(mirror, kept, began_with=begin)
    return str(folder)
