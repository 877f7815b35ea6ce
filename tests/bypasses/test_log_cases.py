"""Log entries that are altered, in every form of evidence and with every way of supplying the trust root (L01 to L22)."""

import base64
import copy
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from bypasses.keyless_cases import CERTIFIED, Case, rows, try_case
from bypasses.keyless_forms import FORMS, b64, names
from bypasses.keyless_ways import WINDOWED, Asked, Asker, Roots
from trust_service import notes, rekor2
from trust_service.hooks import Hooks
from trust_service.period import DAY

BUNDLES = names(holds="bundle")
BUNDLES1 = names(holds="bundle", rekor=1)
BUNDLES2 = names(holds="bundle", rekor=2)
OLDER = names(holds="annotations old")
REKOR1 = names(rekor=1)
PROMISED = (*OLDER, *BUNDLES1)
HASHEDREKORD1 = ("bundle-v0.1", "bundle-v0.2", "bundle-rekor1", "key-rekor1", "legacy-image", "legacy-file")


@pytest.fixture
def asker(trust_service, tmp_path):
    return Asker(trust_service, tmp_path)


# -- whose entry it is


def of(**options):
    """The entry of other evidence of the same form, which is good in itself."""

    def change(service, evidence):
        more = {name: value(evidence) if callable(value) else value for name, value in options.items()}
        return evidence.with_entries_of(evidence.form.make(service, **more))

    return change


def same_key(evidence):
    return evidence.made.key


def another_key(_):
    return ec.generate_private_key(ec.SECP256R1())


def of_another_kind(service, evidence):
    """A file's entry for a statement, a statement's for a file; by the same key."""
    form = evidence.form
    other = (
        FORMS[{(1, True): "key-rekor1", (2, True): "key-rekor2"}.get((form.rekor, form.dsse), "")]
        if form.dsse
        else None
    )
    if other is None:
        other = FORMS["attestation-rekor1" if form.rekor == 1 else "attestation-rekor2"]
    options = {"key": evidence.made.key, "managed": form.managed}
    return evidence.with_entries_of(other.make(service, **options))


# -- alterations of an entry


def entry(**changes):
    """Members of a bundle's entry replaced; None: left out."""

    def change(_, evidence):
        def within(found):
            for name, value in changes.items():
                if value is None:
                    found.pop(name)
                else:
                    found[name] = value(found[name]) if callable(value) else value

        return evidence.with_entry(within)

    return change


def proof(**changes):
    def within(found):
        found = copy.deepcopy(found)
        for name, value in changes.items():
            if value is None:
                found.pop(name, None)
            else:
                found[name] = value(found.get(name)) if callable(value) else value
        return found

    return entry(inclusionProof=within)


def promise(alter):
    """The promise, altered, in whatever form: bytes to bytes."""

    def change(_, evidence):
        def within(found):
            if evidence.form.holds == "bundle":
                holder, name = found["inclusionPromise"], "signedEntryTimestamp"
            else:
                holder, name = found, "SignedEntryTimestamp"
            holder[name] = b64(alter(base64.b64decode(holder[name])))

        return evidence.with_entry(within)

    return change


def body(value):
    """What the log is said to hold, replaced: bytes."""

    def change(_, evidence):
        def within(found):
            if evidence.form.holds == "bundle":
                found["canonicalizedBody"] = b64(value)
            else:
                found["Payload"]["body"] = b64(value)

        return evidence.with_entry(within)

    return change


def time(value):
    """The time beside the promise, which covers it."""

    def change(_, evidence):
        def within(found):
            if evidence.form.holds == "bundle":
                found["integratedTime"] = str(int(found["integratedTime"]) + value)
            else:
                found["Payload"]["integratedTime"] += value

        return evidence.with_entry(within)

    return change


def index(value):
    def change(_, evidence):
        def within(found):
            if evidence.form.holds == "bundle":
                found["logIndex"] = str(int(found["logIndex"]) + value)
            else:
                found["Payload"]["logIndex"] += value

        return evidence.with_entry(within)

    return change


def log_id(service, evidence):
    """The id of a log that is in no trust root."""
    stranger = (service.log1 if evidence.form.rekor == 1 else service.log2)("stranger")

    def within(found):
        if evidence.form.holds == "bundle":
            found["logId"] = {"keyId": b64(stranger.log_id)}
        else:
            found["Payload"]["logID"] = stranger.log_id.hex()

    return evidence.with_entry(within)


def twice(_, evidence):
    return evidence.with_entries_of(evidence, evidence)


def note(alter):
    """The signed checkpoint, altered."""
    return {"signed-checkpoint": alter}


def by_another_key(checkpoint):
    """Signed by a key of somebody else, in the log's name and with its hint."""
    fresh = ec.generate_private_key(ec.SECP256R1())
    if not isinstance(checkpoint.key, ec.EllipticCurvePrivateKey):
        from cryptography.hazmat.primitives.asymmetric import ed25519

        fresh = ed25519.Ed25519PrivateKey.generate()
    return checkpoint._replace(key=fresh)


def by_a_witness_alone(text):
    from cryptography.hazmat.primitives.asymmetric import ed25519

    head, _, _ = text.rpartition("\n\n")
    key = ed25519.Ed25519PrivateKey.generate()
    return f"{head}\n\n" + notes.cosignature("witness.test", key, 1_700_000_000, f"{head}\n")


def without_line(number):
    def alter(text):
        lines = text.split("\n")
        del lines[number]
        return "\n".join(lines)

    return alter


def two_keys(found):
    """The signer of an entry, with one more PEM block behind it (L21)."""
    found = copy.deepcopy(found)
    holder = found["spec"]["signature"]["publicKey"]
    pem = base64.b64decode(holder["content"])
    holder["content"] = b64(pem + pem)
    return found


def in_body(*path, to):
    """What the log holds, and so signs, with another value in one place."""

    def alter(found):
        found = copy.deepcopy(found)
        at = found
        for name in path[:-1]:
            at = at[name]
        at[path[-1]] = to
        return found

    return {"body": alter}


def hashes(alter):
    return {"proof": lambda found: found | {"hashes": alter(found["hashes"])}}


def crowded(service):
    """Some leaves, so that proofs have hashes: nothing of a case's own."""
    if service.log1().tree.size < 6:
        for _ in range(6):
            FORMS["key-rekor1"].make(service)
            FORMS["key-rekor2"].make(service)
    return {}


DATA1, DATA2 = ("spec", "data", "hash"), ("spec", "hashedRekordV002", "data")
OLD_LOG = Roots(logs=("retired",))

TABLE = [
    # Another signature's entry, by the same key and by others
    Case("L01 L02 L04 L05 of another artifact, by the same key", "log-entry-not-bound",
         change=of(artifact=b"another", key=same_key)),
    Case("L01 L02 L04 L05 of the same artifact, by another key", "log-entry-not-bound", change=of(key=another_key)),
    Case("L01 L02 L04 L05 of a second signature of the same by the same", "log-entry-not-bound", change=of(key=same_key)),
    Case("L20 of another kind", "log-entry-not-bound",
         forms=names(holds="bundle"), change=of_another_kind),
    # Invalid is never taken for absent
    Case("L03 a promise of nothing", "log-promise-invalid", forms=OLDER, change=promise(lambda _: b"")),
    Case("L03 a promise with one byte flipped", "log-promise-invalid", forms=REKOR1,
         change=promise(lambda found: found[:-1] + bytes([found[-1] ^ 1]))),
    Case("L03 a promise of another entry", "log-promise-invalid", forms=REKOR1, alter={"signed-set": lambda _: b"x" * 70}),
    Case("L03 an empty proof", "log-proof-missing", forms=BUNDLES, change=entry(inclusionProof={})),
    Case("L03 a body of three bytes", "log-entry-malformed", change=body(b"\0\0\0")),
    Case("L03 a body that is a list", "log-entry-malformed", change=body(b"[]")),
    Case("L03 L12 no kind", "log-entry-malformed", forms=BUNDLES, change=entry(kindVersion=None)),
    Case("L03 an entry that is none", "evidence-malformed", forms=BUNDLES,
         change=lambda _, evidence: evidence.changed(lambda document: document["verificationMaterial"].update(tlogEntries=[7]))),
    Case("L03 no entry where the root has logs", "log-entry-missing",
         given=lambda service: {"tsa": "current"}, change=lambda _, evidence: evidence.without_entries()),
    # What stands in the entry
    Case("L06 over another hash", "log-entry-not-bound", forms=HASHEDREKORD1,
         alter=in_body(*DATA1, "value", to="ab" * 32)),
    Case("L06 over a hash that nobody knows", "log-entry-not-bound", forms=HASHEDREKORD1,
         alter=in_body(*DATA1, "algorithm", to="md5")),
    Case("L06 over another hash in a log of tiles", "log-entry-not-bound",
         forms=("bundle-rekor2", "key-rekor2", "attestation-rekor2", "image"),
         alter=in_body(*DATA2, "digest", to=b64(b"\xab" * 32))),
    Case("L06 over another payload", "log-entry-not-bound", forms=("attestation-rekor1", "image-attestation", "legacy-attestation"),
         alter=in_body("spec", "payloadHash", "value", to="ab" * 32)),
    Case("L12 of an unknown kind", "log-entry-malformed", forms=BUNDLES,
         change=entry(kindVersion={"kind": "foo", "version": "0.0.1"})),
    Case("L12 of an unknown version", "log-entry-malformed", forms=BUNDLES,
         change=entry(kindVersion=lambda found: found | {"version": "0.0.9"})),
    Case("L12 of an unknown kind in the log itself", "log-entry-malformed", forms=REKOR1, alter=in_body("kind", to="foo")),
    Case("L20 a file's entry of the other log's version", "log-entry-malformed", forms=("bundle-rekor1", "key-rekor1"),
         change=entry(kindVersion={"kind": "hashedrekord", "version": "0.0.2"})),
    Case("L21 a signer of two PEM blocks", "log-entry-malformed", forms=HASHEDREKORD1, alter={"body": two_keys}),
    # Which log, and when
    Case("L18 L04 of a log that is not in the root", "log-entry-untrusted", change=log_id),
    Case("L18 by a stranger altogether", "log-entry-untrusted", options={"log": "stranger"},
         forms=tuple(name for name in FORMS if FORMS[name].holds == "bundle")),
    Case("L18 C14 by a log when its key was not in use any more", "log-entry-untrusted", forms=BUNDLES, ways=WINDOWED,
         given=lambda service: {"log": "retired", "at": service.now() - 2 * DAY}, roots=OLD_LOG,
         change=lambda service, evidence: evidence.form.make(service, log="retired")),
    Case("S04 L16 another time beside the promise", "log-promise-invalid", forms=REKOR1, change=time(-1)),
    Case("L16 another index beside the promise", "log-promise-invalid", forms=REKOR1, change=index(1)),
    Case("S04 S06 promised when the certificate was not valid any more", "log-time-outside",
         forms=names(rekor=1, managed=False),
         alter={"set": lambda payload: payload | {"integratedTime": payload["integratedTime"] + DAY}}),
    # Proofs
    Case("L11 one with a proof, one without", "log-proof-missing",
         forms=("bundle-v0.2", "bundle-rekor1", "attestation-rekor1", "image-attestation", "key-rekor1"),
         change=lambda _, evidence: evidence.changed(
             lambda document: document["verificationMaterial"]["tlogEntries"].append(
                 {name: value for name, value in document["verificationMaterial"]["tlogEntries"][0].items()
                  if name != "inclusionProof"}))),
    Case("L10 one entry twice", "log-entry-duplicate", forms=BUNDLES, change=twice),
    Case("L13 L14 a proof without a checkpoint", "log-proof-missing", forms=BUNDLES, change=proof(checkpoint=None)),
    Case("L13 a proof with an empty checkpoint", "log-proof-missing", forms=BUNDLES, change=proof(checkpoint={"envelope": ""})),
    Case("L13 a proof for another root than the checkpoint's", "log-proof-invalid", forms=BUNDLES,
         alter={"proof": lambda found: found | {"rootHash": b"\xab" * 32}}),
    Case("L13 L19 a proof for another size than the checkpoint's", "log-proof-invalid", forms=BUNDLES,
         alter={"proof": lambda found: found | {"treeSize": found["treeSize"] + 1}}),
    Case("L14 a checkpoint by another key", "log-checkpoint-invalid", forms=BUNDLES, alter={"checkpoint": by_another_key}),
    Case("L14 a checkpoint by a witness alone", "log-checkpoint-invalid", forms=BUNDLES, alter=note(by_a_witness_alone)),
    Case("L14 a checkpoint of another origin", "log-checkpoint-invalid", forms=BUNDLES2,
         alter={"checkpoint": lambda found: found._replace(origin="second.log.test", name="second.log.test")}),
    Case("L14 a checkpoint without its root", "log-checkpoint-invalid", forms=BUNDLES, alter=note(without_line(2))),
    Case("L14 a checkpoint without its size", "log-checkpoint-invalid", forms=BUNDLES, alter=note(without_line(1))),
    Case("L14 a checkpoint with CRLF", "log-checkpoint-invalid", forms=BUNDLES, alter=note(lambda text: text.replace("\n", "\r\n"))),
    Case("L14 a checkpoint with a larger size than was signed", "log-checkpoint-invalid", forms=BUNDLES,
         alter=note(lambda text: text.replace("\n", "\n9", 1))),
    Case("L15 L19 one hash of the path flipped", "log-proof-invalid", forms=BUNDLES, given=crowded,
         alter=hashes(lambda found: [bytes([found[0][0] ^ 1]) + found[0][1:], *found[1:]])),
    Case("L19 one hash too many", "log-proof-invalid", forms=BUNDLES, given=crowded, alter=hashes(lambda found: [*found, b"x" * 32])),
    Case("L19 one hash too few", "log-proof-invalid", forms=BUNDLES, given=crowded, alter=hashes(lambda found: found[:-1])),
    Case("L19 a hash that is cut off", "log-proof-invalid", forms=BUNDLES, given=crowded,
         alter=hashes(lambda found: [found[0][:-1], *found[1:]])),
    Case("L19 an index of the size", "log-proof-invalid", forms=BUNDLES1,
         change=proof(logIndex=lambda found: str(10**9))),
    Case("L19 another index than the proof's", "log-proof-invalid", forms=BUNDLES2, change=index(1)),
    Case("L19 an index below nothing", "log-entry-malformed", forms=BUNDLES, change=proof(logIndex="-1")),
    Case("L19 an index that is a fraction", "log-entry-malformed", forms=BUNDLES, change=entry(logIndex=1.0)),
    Case("L19 an index of 2^64", "log-entry-malformed", forms=BUNDLES, change=entry(logIndex=str(2**64))),
    Case("L19 a size of nothing", "log-checkpoint-invalid", forms=BUNDLES, alter=note(lambda text: text.replace("\n", "\n0", 1))),
    # Switches
    Case("L17 S10 a timestamp in place of the entry", "log-entry-missing",
         forms=names(holds="bundle", managed=False), given={"tsa": "current"}, asked=Asked(stamped=True),
         change=lambda _, evidence: evidence.without_entries()),
    Case("L16 L03 an entry with a member that nobody knows", "log-entry-malformed", forms=BUNDLES,
         change=lambda _, evidence: evidence.with_entry(lambda found: found.update(unheardOf=1))),
]  # fmt: skip


@pytest.mark.parametrize(("case", "way"), rows(TABLE))
def test_each_alteration_is_refused(trust_service, asker, case, way):
    try_case(trust_service, asker, case, way)


def accepts(asker, evidence, *, way="file", roots=None):
    answer = asker.ask(evidence, way, roots or Roots())
    assert answer.accepted, answer
    return answer


@pytest.mark.parametrize("way", ["file", "tuf", "library"])
def test_L09_two_entries_of_one_log_are_by_one_log(trust_service, asker, way):
    """Nothing is ever asked of two logs: what two entries of one prove is what one proves; and of a bad one, nothing."""
    form = FORMS["bundle-rekor1"]
    key = ec.generate_private_key(ec.SECP256R1())
    both = form.make(trust_service, log=("current", "second"), key=key)
    accepts(asker, both, way=way, roots=Roots(logs=("current", "second")))
    accepts(asker, both, way=way)
    alone = form.make(trust_service, log="second", key=key)
    refused = asker.ask(alone, way)
    assert (refused.accepted, "log-entry-untrusted" in refused.codes) == (False, True)


@pytest.mark.parametrize("way", WINDOWED)
@pytest.mark.parametrize("name", BUNDLES2)
def test_L14_a_log_that_shows_two_trees_of_one_size_has_a_split_view(trust_service, asker, name, way):
    """Each entry is in a tree that the log signed, and both trees cannot be the log; trees of two sizes can."""
    log = trust_service.log2()
    for _ in range(2):
        log.tree.append(b"of somebody else")
    evidence = FORMS[name].make(trust_service)
    [entry] = evidence.material["tlogEntries"]
    size, leaf = int(entry["inclusionProof"]["treeSize"]), base64.b64decode(entry["canonicalizedBody"])

    def beside(size):
        """The same entry too, in another view of that size: as the second of all."""
        other = rekor2.TileLog(log.name, log.key, log.valid)
        place = other.tree.append(leaf)
        while other.tree.size < size:
            other.tree.append(b"of the other view")
        found = other._entry(json.loads(leaf), leaf, place, Hooks())
        return evidence.changed(lambda document: document["verificationMaterial"]["tlogEntries"].append(found))

    assert int(entry["logIndex"]) == size - 1 > 1
    accepts(asker, beside(size + 1), way=way)
    refused = asker.ask(beside(size), way)
    assert (refused.accepted, refused.codes) == (False, {"log-checkpoint-invalid"})


def test_L14_lines_of_witnesses_change_nothing_wherever_they_stand(trust_service, asker):
    from cryptography.hazmat.primitives.asymmetric import ed25519

    key = ed25519.Ed25519PrivateKey.generate()

    def before(text):
        head, _, lines = text.rpartition("\n\n")
        return f"{head}\n\n{notes.cosignature('witness.test', key, 1_700_000_000, head + chr(10))}{lines}"

    def behind(text):
        head, _, _ = text.rpartition("\n\n")
        return text + notes.cosignature("witness.test", key, 1_700_000_000, f"{head}\n")

    for name in BUNDLES:
        for alter in (before, behind):
            accepts(asker, FORMS[name].make(trust_service, note(alter)))
        refused = asker.ask(FORMS[name].make(trust_service, note(by_a_witness_alone)), "file")
        assert "log-checkpoint-invalid" in refused.codes


@pytest.mark.parametrize("name", ["bundle-v0.2", "bundle-rekor1", "attestation-rekor1", "image-attestation"])
def test_S04_a_time_that_nothing_signs_refuses_where_it_is_wrong_and_proves_nothing(trust_service, asker, name):
    """Client-spec A.6: the certificate must have been valid at the time beside an entry, even where it is not used."""

    def unpromised(seconds):
        def within(found):
            del found["inclusionPromise"]
            found["integratedTime"] = str(int(found["integratedTime"]) + seconds)

        return within

    stamped = FORMS[name].make(trust_service, tsa="current")
    accepts(asker, stamped.with_entry(unpromised(0)))
    refused = asker.ask(stamped.with_entry(unpromised(DAY)), "file")
    assert (refused.accepted, refused.codes) == (False, {"log-time-outside"})
    alone = FORMS[name].make(trust_service)
    accepts(asker, alone)
    refused = asker.ask(alone.with_entry(unpromised(0)), "file")
    assert (refused.accepted, refused.codes) == (False, {"timestamp-missing"})


@pytest.mark.parametrize("name", CERTIFIED)
def test_L17_what_is_ignored_is_ignored_alone(trust_service, asker, name, tmp_path):
    """--insecure-ignore-tlog takes away that there must be an entry; the time, the path and the SCT are asked for as before."""
    from bypasses import scene

    form = FORMS[name]
    if form.holds != "bundle":
        pytest.skip("a timestamp of older forms is not made here")
    evidence = form.make(trust_service, tsa="current").without_entries()
    (tmp_path / "root.json").write_text(json.dumps(trust_service.trusted_root()))
    who = ["--certificate-identity", evidence.made.subject, "--certificate-oidc-issuer", evidence.made.issuer]
    command, *rest = form.arguments(evidence, tmp_path / "evidence")
    words = [command, "-o", "verdict", *who, "--trusted-root", str(tmp_path / "root.json"), *rest]
    home = {"HOME": str(tmp_path)}
    assert "log-entry-missing" in [code for found in scene.run(words, environ=home).findings for code in found]
    said = scene.run([*words, "--insecure-ignore-tlog"], environ=home)
    said.is_accepted()
    unlogged = form.make(trust_service, tsa="current", ct=()).without_entries()
    form.arguments(unlogged, tmp_path / "evidence")
    if form.command in {"verify", "verify-attestation"}:
        words[-1] = form.arguments(unlogged, tmp_path / "unlogged")[-1]
    refused = scene.run([*words, "--insecure-ignore-tlog"], environ=home)
    assert [code for found in refused.findings for code in found] == ["sct-missing"]
