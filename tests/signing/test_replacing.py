"""Entries of a shared tag that give way to new ones, under simulated schedules: what is replaced goes, nothing else does."""

from __future__ import annotations

import random

import pytest

from sealgate.digest import Digest
from sealgate.signing.publish import Settling
from sealgate.signing.sign import SignOptions, publish_bundles, publish_layers
from sealgate.transport import flow
from signing.simulated import World, steady, uneven

both_formats = pytest.mark.parametrize("format_", ["bundle", "legacy"])


async def publish(world, format_, name, *, replaced=(), at=0.0):
    """Add an entry; those named in `replaced` give way."""
    await flow.sleep(at)
    options = SignOptions((format_,), created=0.0, settling=Settling())
    if format_ == "legacy":
        digests = frozenset(str(Digest.of(text.encode())) for text in replaced)
        await publish_layers(
            world.store(), world.digest, [(name.encode(), {"predicateType": name})], options,
            suffix="att", replaced=digests,
        )  # fmt: skip
        return
    digests = frozenset(entry["digest"] for entry in world.entries("") if _name(world, entry) in replaced)
    await publish_bundles(world.store(), world.manifest, [name.encode()], options, api=False, replaced=digests)


def _name(world, entry):
    [stored] = [each for (_, digest), each in world.registry.manifests.items() if digest == entry["digest"]]
    layer = stored.document["layers"][0]["digest"]
    [blob] = [data for (_, digest), data in world.registry.blobs.items() if digest == layer]
    return blob.decode()


def names(world, format_):
    """What stands there, sorted."""
    entries = world.entries({"bundle": "", "legacy": ".att"}[format_])
    if format_ == "legacy":
        return sorted(entry["annotations"]["predicateType"] for entry in entries)
    return sorted(_name(world, entry) for entry in entries)


@both_formats
@pytest.mark.parametrize("round_trip", [0.002, 0.06])
def test_what_is_replaced_goes_and_the_rest_stays(format_, round_trip):
    world = World(steady(round_trip))
    for name in ("old", "other"):
        world.run(publish(world, format_, name))
    world.run(publish(world, format_, "new", replaced=["old"]))
    assert names(world, format_) == ["new", "other"]
    world.run(publish(world, format_, "newest", replaced=["new", "not there"]))
    assert names(world, format_) == ["newest", "other"]


@both_formats
@pytest.mark.parametrize("seed", range(12))
def test_nothing_new_is_lost_while_others_add_and_replace(format_, seed):
    chance = random.Random(seed)
    world = World(uneven(seed, usual=0.02, slow=0.1))
    world.run(publish(world, format_, "old"))

    async def crowd():
        makers = [publish(world, format_, f"adds {n}", at=chance.random() * 0.2) for n in range(4)]
        makers += [
            publish(world, format_, f"replaces {n}", replaced=["old"], at=chance.random() * 0.2) for n in range(3)
        ]
        await flow.gather(makers, limit=len(makers))

    world.run(crowd())
    found = set(names(world, format_))
    assert {f"adds {n}" for n in range(4)} | {f"replaces {n}" for n in range(3)} <= found
