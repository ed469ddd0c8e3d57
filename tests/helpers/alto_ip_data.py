"""The npm packages of public IP data, as they lie in a cache folder, with other data."""

from pathlib import Path

from interop import _alto_ip_location


def fake_package(cache: Path, package: str, version4: str, version6: str) -> None:
    name = f"ip-location-db-{package}-{_alto_ip_location._VERSION}"
    folder = cache / name / "node_modules/@ip-location-db" / package
    folder.mkdir(parents=True)
    (folder / f"{package}-ipv4-num.csv").write_text(version4)
    (folder / f"{package}-ipv6-num.csv").write_text(version6)
