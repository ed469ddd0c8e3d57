"""A picture of an ALTO server as one HTML page that needs nothing else: no file, no server, no network.

snapshot = await snapshot_of_server(alto)       # an AltoClient, best a lenient one
snapshot = snapshot_of_files([Path("network-map.json"), Path("costs.csv")])
snapshot = snapshot_of_directory(directory)     # what a server of this process shows everybody
Path("page.html").write_bytes(page(snapshot))

`AltoUi` serves the page beside a server's resources, up to date by the server's own update stream.
"""

from interop.alto_viz.files import snapshot_of_files
from interop.alto_viz.page import page
from interop.alto_viz.serving import AltoUi
from interop.alto_viz.snapshot import Snapshot
from interop.alto_viz.sources import snapshot_of_directory, snapshot_of_server

__all__ = ["AltoUi", "Snapshot", "page", "snapshot_of_directory", "snapshot_of_files", "snapshot_of_server"]
