"""A stand-in for Trivy: `trivy image … --input LAYOUT --output FILE` writes what Trivy would about a layout of one image.

The report is the recorded one (tests/scan/reports/trivy.json), about this image. It has one critical finding for the OpenSSL of
the how-to's vulnerable image, and none for any other.
"""

import json
import sys
import tarfile
import time
from pathlib import Path

VULNERABLE = "3.0.0-1"


def main(recorded, words):
    layout, output = Path(words[words.index("--input") + 1]), Path(words[words.index("--output") + 1])
    assert words[0] == "image"
    assert words[words.index("--format") + 1] == "json"

    def blob(digest):
        return layout / "blobs" / "sha256" / digest.removeprefix("sha256:")

    (entry,) = json.loads((layout / "index.json").read_text())["manifests"]
    manifest = json.loads(blob(entry["digest"]).read_text())
    with tarfile.open(blob(manifest["layers"][0]["digest"])) as layer:
        status = layer.extractfile("./var/lib/dpkg/status").read().decode()
    version = status.partition("Version: ")[2].partition("\n")[0]
    report = json.loads(recorded.read_text())
    row = report["Results"][0]["Vulnerabilities"][0]
    finding = row | {
        "PkgName": "openssl",
        "InstalledVersion": version,
        "Severity": "CRITICAL",
        "FixedVersion": "3.0.17-1",
    }
    finding["PkgIdentifier"] = {"PURL": f"pkg:deb/debian/openssl@{version}?arch=amd64&distro=debian-12.11"}
    report |= {
        "CreatedAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "ArtifactName": str(layout),
        # of a layout Trivy knows the config's digest and no digest of a repository
        "Metadata": {"OS": report["Metadata"]["OS"], "ImageID": manifest["config"]["digest"]},
        "Results": [
            {
                "Target": f"{layout} (debian 12.11)",
                "Class": "os-pkgs",
                "Type": "debian",
                "Packages": [{"Name": "openssl", "Version": version}],
                "Vulnerabilities": [finding] if version == VULNERABLE else [],
            }
        ],
    }
    output.write_text(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
