import socket

import pytest

from services.mesh.errors import FailedPrecondition
from tests.ports import reserved
from vitrine.supervisor.ports import check_free, is_free


def test_a_port_in_use_is_named_with_the_flag_that_moves_it() -> None:
    """Who else listens is told by port, purpose and what to do."""
    with reserved() as port:
        with socket.create_server(("127.0.0.1", port)):
            assert not is_free(port)
            with pytest.raises(FailedPrecondition, match=f"port {port} .gateway. is in use.*--port-base"):
                check_free({port: "gateway"})
            with pytest.raises(FailedPrecondition, match="--http-port"):
                check_free({port: "HTTP"})
        assert is_free(port)
        check_free({port: "gateway"})
