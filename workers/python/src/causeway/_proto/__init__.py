"""Messages of Centrifugo's two services, generated from proto/."""
