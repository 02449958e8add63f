//! Typed client of the API: HTTP, SSE, WebSocket.
