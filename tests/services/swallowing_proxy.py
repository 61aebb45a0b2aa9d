"""A way to a server on which connections can fall silent: they stay open, and what is sent into them is lost."""

import contextlib
import socket
import threading


class SwallowingProxy:
    """Hands bytes on in both directions, but for connections that were swallowed."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._silent: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def swallow(self) -> None:
        """Let all connections that are open now fall silent; later ones work."""
        self._silent.update(self._open)

    def close(self) -> None:
        """Close everything."""
        for one in (self._listener, *self._open):
            # Closing alone does not wake a thread that waits for bytes.
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._listener.accept()
            except OSError:
                return
            there = socket.create_connection(("127.0.0.1", self._target))
            self._open += [here, there]
            for source, sink in ((here, there), (there, here)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if source not in self._silent:
                    sink.sendall(data)
            # The end of a silent connection is swallowed, too.
            if source not in self._silent:
                sink.shutdown(socket.SHUT_WR)
