"""Entries of a shared tag under every schedule that a test can think of: simulated, deterministic, without waiting."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evil_registry.honest import INDEX
from evil_registry.messages import Answer, error_answer
from sealgate import limits
from sealgate.digest import Digest
from sealgate.errors import LimitError, NotKeptError, SealgateError, ServerFailureError
from sealgate.keys import private
from sealgate.keys.signer import PrivateKeySigner
from sealgate.oci.images import Image
from sealgate.signing.publish import Settling, SharedTag, add
from sealgate.signing.sign import SignOptions, publish_bundles, publish_layers, sign
from sealgate.transport import flow
from signing.simulated import REPOSITORY, Journey, World, steady, uneven

NEAR, FAR = 0.002, 0.05
USUAL = Settling()
SUFFIX = {"bundle": "", "legacy": ".sig"}
SIGNATURE = "dev.cosignproject.cosign/signature"
both_formats = pytest.mark.parametrize("format_", ["bundle", "legacy"])


async def publish(world: World, format_: str, name: str, *, at: float = 0.0, settling: Settling = USUAL) -> None:
    """One signer, a process of its own, that begins at a moment."""
    await flow.sleep(at)
    options = SignOptions((format_,), created=0.0, settling=settling)
    content = f"signed by {name}".encode()
    if format_ == "legacy":
        await publish_layers(world.store(), world.digest, [(content, {SIGNATURE: name})], options)
    else:
        await publish_bundles(world.store(), world.manifest, [content], options, api=world.registry.referrers_api)


def names(world: World, format_: str) -> list[str]:
    """Who stands under the shared tag, sorted."""
    return sorted(names_in_order(world, format_))


def names_in_order(world: World, format_: str) -> list[str]:
    """Who stands under the shared tag, as it says."""
    found = []
    for entry in world.entries(SUFFIX[format_]):
        if format_ == "legacy":
            found.append(entry["annotations"][SIGNATURE])
        else:
            layer = world.registry.manifests[REPOSITORY, entry["digest"]].document["layers"][0]["digest"]
            found.append(world.registry.blobs[REPOSITORY, layer].decode().removeprefix("signed by "))
    return found


def stand(world: World, format_: str, *entries: str) -> None:
    """Write the shared tag as somebody would who knows of these entries only."""
    if format_ == "legacy":
        layers = [
            world.registry.put_blob(REPOSITORY, f"signed by {name}".encode()) | {"annotations": {SIGNATURE: name}}
            for name in entries
        ]
        config = world.registry.put_blob(REPOSITORY, b"{}")
        world.registry.put_manifest(
            REPOSITORY, {"schemaVersion": 2, "config": config, "layers": layers}, world.tag(".sig")
        )
        return
    referrers = [
        world.registry.put_referrer(REPOSITORY, world.image, f"signed by {name}".encode(), artifact_type="x/y")
        for name in entries
    ]
    described = [each.descriptor() | {"artifactType": "x/y"} for each in referrers]
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": described}
    world.registry.put_manifest(REPOSITORY, index, world.tag(""), INDEX)


def to_the_tag(world: World, format_: str, method: str):
    """Whether a request is about the shared tag."""
    path = f"/v2/{REPOSITORY}/manifests/{world.tag(SUFFIX[format_])}"
    return lambda seen: seen.method == method and seen.path == path


# ---------------------------------------------------------------------------------------------------------- alone


@both_formats
@pytest.mark.parametrize("round_trip", [NEAR, FAR])
def test_a_lone_signer_needs_this_many_requests_and_not_long(format_, round_trip):
    world = World(steady(round_trip))
    world.run(publish(world, format_, "me"))
    assert names(world, format_) == ["me"]
    about_the_tag = [line.split(" ")[0] for line in world.asked if line.endswith(world.tag(SUFFIX[format_]))]
    expected = ["GET", "PUT"] + ["GET"] * {NEAR: 6, FAR: 3}[round_trip]
    if format_ == "legacy" and round_trip == FAR:
        expected.insert(0, "GET")  # putting up the config took a while, so the tag is read again
    assert about_the_tag == expected
    blobs = 2  # payload and config; bundle and empty config: asked for, begun, sent
    assert len(world.asked) == 3 * blobs + len(about_the_tag) + (format_ == "bundle")
    held = {NEAR: 0.15, FAR: 4 * FAR}[round_trip]
    assert world.ended - 1000.0 < (8 * round_trip + held) * 1.4


@both_formats
def test_what_stands_already_is_neither_written_nor_waited_for(format_):
    world = World(steady(NEAR))
    world.run(publish(world, format_, "me"))
    tag = world.registry.tags[REPOSITORY, world.tag(SUFFIX[format_])]
    world.asked.clear()
    world.run(publish(world, format_, "me"))
    about_the_tag = [line.split(" ")[0] for line in world.asked if line.endswith(world.tag(SUFFIX[format_]))]
    assert about_the_tag == ["GET"]
    assert world.ended - 1000.0 < 10 * NEAR
    assert world.registry.tags[REPOSITORY, world.tag(SUFFIX[format_])] == tag


@both_formats
def test_signing_the_same_again_writes_nothing_at_all(format_):
    world = World(steady(NEAR))
    options = SignOptions((format_,), created=0.0)
    signer = PrivateKeySigner(private.generate())

    def signed(signer, options=options):
        image = Image("registry.test/team/app", world.store(), world.digest, world.store())
        return world.run(sign(image, [signer], options))

    assert [made.added for made in signed(signer)] == [True]
    world.asked.clear()
    assert [made.added for made in signed(signer)] == [False]
    assert {line.split(" ")[0] for line in world.asked} == {"GET"}
    # Something else to sign, or somebody else who signs, is added.
    assert [made.added for made in signed(signer, options._replace(annotations=(("a", "b"),)))] == [True]
    assert [made.added for made in signed(PrivateKeySigner(private.generate()))] == [True]
    assert len(world.entries(SUFFIX[format_])) == 3


def test_with_the_referrers_api_there_is_no_shared_tag_and_no_wait():
    world = World(steady(NEAR), referrers_api=True)
    world.run(publish(world, "bundle", "me"))
    assert world.tag("") not in " ".join(world.asked).split("/")
    assert world.ended - 1000.0 < 6 * NEAR


# ---------------------------------------------------------------------------------------------------------- others


@both_formats
def test_what_others_wrote_before_is_kept_with_fields_nobody_knows(format_):
    world = World(steady(NEAR))
    stand(world, format_, "someone")
    before = world.entries(SUFFIX[format_])
    before[0]["x-foreign"] = {"kept": [1, 2.5, "ö"]}
    tag = world.tag(SUFFIX[format_])
    stored = world.registry.manifests[REPOSITORY, world.registry.tags[REPOSITORY, tag]]
    document = stored.document | {"manifests" if format_ == "bundle" else "layers": before}
    world.registry.put_manifest(REPOSITORY, document, tag, stored.media_type)
    world.run(publish(world, format_, "me"))
    assert names(world, format_) == ["me", "someone"]
    assert before[0] in world.entries(SUFFIX[format_])


@both_formats
def test_an_entry_of_ours_that_is_overwritten_is_written_again_with_that_of_the_other(format_):
    world = World(steady(NEAR))
    mine = to_the_tag(world, format_, "GET")
    overwritten = []

    def overwrite(seen):  # between our write and our second look
        if mine(seen) and names(world, format_) == ["me"] and not overwritten:
            overwritten.append(True)
            stand(world, format_, "someone")

    world.on_arrival = overwrite
    world.run(publish(world, format_, "me"))
    assert overwritten
    assert names(world, format_) == ["me", "someone"]
    assert world.writes(SUFFIX[format_]) == 2
    assert world.ended - 1000.0 > 1.0  # somebody else is here, so it is held longer


@both_formats
def test_an_entry_of_somebody_else_that_was_seen_once_is_put_back(format_):
    world = World(steady(NEAR))
    stand(world, format_, "early")
    mine = to_the_tag(world, format_, "GET")
    wiped = []

    def wipe(seen):  # by somebody who has seen ours, and not theirs
        if mine(seen) and names(world, format_) == ["early", "me"] and not wiped:
            wiped.append(True)
            _leave_out_the_early_one(world, format_)

    world.on_arrival = wipe
    world.run(publish(world, format_, "me"))
    assert wiped
    assert names(world, format_) == ["early", "me"]
    assert world.ended - 1000.0 > 1.0  # what vanishes shows somebody else too


def _leave_out_the_early_one(world: World, format_: str) -> None:
    tag = world.tag(SUFFIX[format_])
    stored = world.registry.manifests[REPOSITORY, world.registry.tags[REPOSITORY, tag]]
    field = "manifests" if format_ == "bundle" else "layers"
    early = names_in_order(world, format_).index("early")
    entries = [entry for number, entry in enumerate(stored.document[field]) if number != early]
    world.registry.put_manifest(REPOSITORY, stored.document | {field: entries}, tag, stored.media_type)


def test_what_is_written_while_our_config_goes_up_is_not_written_over():
    world = World(steady(FAR))
    tag = world.tag(".sig")
    read_once = []

    def write(seen):  # by somebody who never looks back, after our first look at the tag
        if seen.path.endswith(tag):
            read_once.append(seen.method)
        elif read_once == ["GET"] and seen.method == "PUT":
            stand(world, "legacy", "careless")

    world.on_arrival = write
    world.run(publish(world, "legacy", "me"))
    assert names(world, "legacy") == ["careless", "me"]
    assert world.writes(".sig") == 1


@pytest.mark.parametrize(("stall", "kept"), [(0.1, True), (0.3, False)])
@both_formats
def test_a_write_that_stalls_longer_than_the_first_signer_holds_on_can_lose_an_entry(format_, stall, kept):
    """What no client can promise without a conditional PUT, and how far the promise goes."""
    assert _first_and_stalled(format_, stall, USUAL) == (["first", "stalled"] if kept else ["stalled"])


@both_formats
def test_settle_promises_more(format_):
    assert _first_and_stalled(format_, 0.3, Settling(alone=0.5, contended=1.0)) == ["first", "stalled"]


def _first_and_stalled(format_: str, stall: float, settling: Settling) -> list[str]:
    """One signer at a time, but the write of one is on its way for `stall` seconds and arrives when the other has written."""
    world = World(steady(NEAR))
    tag, writes = world.tag(SUFFIX[format_]), []

    def schedule(request):
        if request.method == "PUT" and request.url.target.endswith(tag):
            writes.append(request)
            return Journey(stall if len(writes) == 1 else NEAR / 2, NEAR / 2)
        return Journey(NEAR / 2, NEAR / 2)

    world.schedule = schedule  # the one that begins first writes first, and that write stalls
    flows = [
        publish(world, format_, "stalled", settling=settling),
        publish(world, format_, "first", at=NEAR / 4, settling=settling),
    ]
    world.run(flow.gather(flows))
    return names(world, format_)


@both_formats
def test_an_entry_that_is_overwritten_again_and_again_is_an_error_and_a_few_times_is_none(format_):
    for patience, outcome in ((3, None), (10**9, NotKeptError)):
        world = World(steady(NEAR))
        mine, count = to_the_tag(world, format_, "GET"), [0]

        def overwrite(seen, world=world, mine=mine, count=count, patience=patience):
            if mine(seen) and "me" in names(world, format_) and count[0] < patience:
                count[0] += 1
                stand(world, format_, f"other{count[0] % 5}")

        world.on_arrival = overwrite
        settling = Settling(give_up=20.0)
        if outcome is None:
            world.run(publish(world, format_, "me", settling=settling))
            assert names(world, format_) == ["me", "other1", "other2", "other3"]
        else:
            with pytest.raises(NotKeptError) as caught:
                world.run(publish(world, format_, "me", settling=settling))
            assert caught.value.code == "entry-not-kept"
            assert caught.value.hint
            assert 20.0 < world.ended - 1000.0 < 25.0


# ---------------------------------------------------------------------------------------------------------- the registry


@both_formats
@pytest.mark.parametrize(("status", "code"), [(500, "UNKNOWN"), (400, "DIGEST_INVALID"), (503, "UNAVAILABLE")])
def test_a_tag_that_cannot_be_read_is_not_taken_for_an_empty_one(format_, status, code):
    for times in (2, 10**9):
        world = World(steady(NEAR))
        stand(world, format_, "early")
        mine, count = to_the_tag(world, format_, "GET"), [0]

        def stumble(seen, mine=mine, count=count, times=times) -> Answer | None:
            count[0] += mine(seen)
            return error_answer(status, code) if mine(seen) and count[0] <= times else None

        world.on_arrival = stumble
        if times == 2:
            world.run(publish(world, format_, "me"))
            assert names(world, format_) == ["early", "me"]
        else:
            with pytest.raises(ServerFailureError) as caught:
                world.run(publish(world, format_, "me"))
            assert caught.value.code == "registry-failed"
            assert names(world, format_) == ["early"]
            assert world.writes(SUFFIX[format_]) == 0


@both_formats
@pytest.mark.parametrize("done", [True, False])
def test_a_write_that_failed_may_have_been_done(format_, done):
    world = World(steady(NEAR))
    mine, failed = to_the_tag(world, format_, "PUT"), []

    def fail(seen) -> Answer | None:
        if not mine(seen) or failed:
            return None
        failed.append(True)
        if done:
            world.registry.answer(seen)
        return error_answer(500, "UNKNOWN")

    world.on_arrival = fail
    world.run(publish(world, format_, "me"))
    assert failed
    assert names(world, format_) == ["me"]


@both_formats
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_registry_that_stumbles_over_its_own_links_is_asked_again(format_, method):
    """docker-registry, seen with sixteen signers: 400 DIGEST_INVALID for a manifest whose config others are pushing."""
    for times in (1, 10**9):
        world = World(steady(NEAR))
        count = {}

        def stumble(seen, world=world, times=times, count=count) -> Answer | None:
            if seen.method != method or "/manifests/" not in seen.path or seen.path.endswith(world.image.digest):
                return None
            count[seen.path] = count.get(seen.path, 0) + 1
            return error_answer(400, "DIGEST_INVALID") if count[seen.path] <= times else None

        world.on_arrival = stumble
        image = Image("registry.test/team/app", world.store(), world.digest, world.store())
        signing = sign(image, [PrivateKeySigner(private.generate())], SignOptions((format_,), created=0.0))
        if times == 1:
            assert [made.added for made in world.run(signing)] == [True]
            assert len(world.entries(SUFFIX[format_])) == 1
            assert count
        else:
            with pytest.raises(ServerFailureError) as caught:
                world.run(signing)
            assert caught.value.code == "registry-failed"
            assert world.entries(SUFFIX[format_]) == []


@both_formats
def test_a_tag_that_cannot_be_written_is_an_error(format_):
    world = World(steady(NEAR))
    mine = to_the_tag(world, format_, "PUT")
    world.on_arrival = lambda seen: error_answer(500, "UNKNOWN") if mine(seen) else None
    with pytest.raises(ServerFailureError) as caught:
        world.run(publish(world, format_, "me"))
    assert caught.value.code == "registry-failed"


def test_the_image_itself_under_the_fallback_tag_is_replaced_by_an_index():
    """`cosign copy` leaves it there."""
    world = World(steady(NEAR))
    world.registry.tags[REPOSITORY, world.tag("")] = world.image.digest
    world.run(publish(world, "bundle", "me"))
    assert names(world, "bundle") == ["me"]


def test_a_full_tag_is_an_error_and_stays_as_it_is():
    for there, good in ((limits.INDEX_CHILDREN - 1, True), (limits.INDEX_CHILDREN, False)):
        world = World(steady(NEAR))
        entries = [
            {"mediaType": INDEX, "size": 1, "digest": str(Digest.of(str(number).encode()))} for number in range(there)
        ]
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
        world.registry.put_manifest(REPOSITORY, index, world.tag(""), INDEX)
        if good:
            world.run(publish(world, "bundle", "me"))
            assert len(world.entries("")) == limits.INDEX_CHILDREN
        else:
            with pytest.raises(LimitError) as caught:
                world.run(publish(world, "bundle", "me"))
            assert caught.value.code == "limit-exceeded"
            assert world.entries("") == entries


# ---------------------------------------------------------------------------------------------------------- crowds


@given(
    seed=st.integers(0, 2**32),
    writers=st.integers(2, 6),
    format_=st.sampled_from(["bundle", "legacy"]),
    spread=st.sampled_from([0.0, 0.05, 0.3, 1.0, 3.0]),
    rewriting=st.sampled_from([0.0, 0.0, 0.004]),
    usual=st.sampled_from([0.001, 0.03]),
)
def test_nothing_is_lost_while_no_request_takes_longer_than_60_ms(seed, writers, format_, spread, rewriting, usual):
    """The promise of docs/concurrency.md: each way of each request takes any time up to 30 ms, in any order."""
    world = World(uneven(seed, usual=usual, slow=0.03), rewriting=rewriting)
    stand(world, format_, "early")
    chance = random.Random(seed)
    wanted = [f"writer{number}" for number in range(writers)]
    world.run(flow.gather([publish(world, format_, name, at=chance.uniform(0.0, spread)) for name in wanted]))
    assert names(world, format_) == sorted([*wanted, "early"])


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32), format_=st.sampled_from(["bundle", "legacy"]))
def test_nothing_is_lost_on_a_slow_registry_with_a_settling_time_to_match(seed, format_):
    """Requests of up to a second: `--settle 2.5s` covers two ways, a look and the write."""
    world = World(uneven(seed, usual=0.1, slow=0.5))
    chance = random.Random(seed)
    settling = Settling(alone=2.5, contended=2.5)
    wanted = [f"writer{number}" for number in range(4)]
    world.run(
        flow.gather([publish(world, format_, name, at=chance.uniform(0.0, 4.0), settling=settling) for name in wanted])
    )
    assert names(world, format_) == sorted(wanted)


@both_formats
def test_sixteen_at_once_in_lockstep(format_):
    """Everybody reads before anybody writes, again and again."""
    world = World(steady(0.02))
    wanted = [f"writer{number:02}" for number in range(16)]
    world.run(flow.gather([publish(world, format_, name) for name in wanted]))
    assert names(world, format_) == wanted


def test_two_signers_of_one_image_in_one_process_and_both_formats():
    world = World(uneven(7, usual=0.005, slow=0.03))
    signers = [PrivateKeySigner(private.generate()) for _ in range(4)]

    async def whole():
        options = SignOptions(("bundle", "legacy"), created=0.0)
        images = [Image("registry.test/team/app", world.store(), world.digest, world.store()) for _ in signers]
        await flow.gather([sign(image, [signer], options) for image, signer in zip(images, signers, strict=True)])

    world.run(whole())
    assert len(world.entries("")) == len(world.entries(".sig")) == 4


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6), st.lists(st.sampled_from("abcdef"), max_size=6))
def test_describedkeep_their_order_and_come_once(mine, there):
    """Of `add` alone: what stood comes first, as it stood."""
    world = World(steady(NEAR))
    written = []

    def write(entries):
        written.append([entry["name"] for entry in entries])
        document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
        return json.dumps(document).encode(), INDEX

    def describe(name):
        return {"mediaType": INDEX, "size": 1, "digest": str(Digest.of(name.encode())), "name": name}

    if there:
        world.registry.put_manifest(
            REPOSITORY, {"schemaVersion": 2, "manifests": [describe(name) for name in there]}, "shared", INDEX
        )
    shared = SharedTag(
        world.store(), "shared", lambda manifest: list(manifest.document["manifests"]), write, lambda e: e["name"]
    )
    world.run(add(shared, [describe(name) for name in mine], settling=USUAL))
    new = set(mine) - set(there)
    assert written == ([list(dict.fromkeys([*there, *mine]))] if new else [])


def test_errors_of_the_registry_reach_the_signer_and_end_the_wait():
    world = World(steady(NEAR))
    world.on_arrival = lambda seen: error_answer(403, "DENIED") if seen.method == "PUT" else None
    with pytest.raises(SealgateError) as caught:
        world.run(publish(world, "bundle", "me"))
    assert caught.value.code == "registry-denied"
    assert world.ended - 1000.0 < 1.0
