"""Messages of Centrifugo's two services and of the RPC methods, generated from proto/."""
