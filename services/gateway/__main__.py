"""`python -m services.gateway`."""

import sys

from services.gateway.server import main
from services.gateway.settings import GatewaySettings
from services.mesh.server import run

run(main(GatewaySettings.load(sys.argv[1:])))
