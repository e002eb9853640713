// Tells the page's server what a gamepad does, while one is connected. Its buttons and sticks are numbered as in
// https://w3c.github.io/gamepad/#remapping; one that the browser does not know by that layout is left alone.
(() => {
  if (!navigator.getGamepads) return; // a browser may show gamepads to https and to this machine's own pages only
  const PERIOD_MS = 40, RETRY_MS = 1000;
  const url = new URL("gamepad", document.baseURI);
  url.protocol = url.protocol.replace("http", "ws");
  let socket = null, tried = -RETRY_MS;
  setInterval(() => {
    const pad = [...navigator.getGamepads()].find((p) => p?.connected && p.mapping === "standard");
    if (!pad) {
      socket?.close();
      socket = null;
      return;
    }
    const lost = !socket || socket.readyState > WebSocket.OPEN;
    if (lost && performance.now() - tried >= RETRY_MS) {
      tried = performance.now();
      socket = new WebSocket(url);
    }
    // On a slow line nothing queues up: what a stick did a second ago is of no use.
    if (socket?.readyState !== WebSocket.OPEN || socket.bufferedAmount) return;
    socket.send(JSON.stringify({ axes: [...pad.axes], buttons: pad.buttons.map((b) => b.pressed) }));
  }, PERIOD_MS);
})();
