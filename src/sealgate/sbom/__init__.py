"""SBOMs: reading SPDX and CycloneDX, finding and comparing packages. Pure; `syft` alone touches the world."""
