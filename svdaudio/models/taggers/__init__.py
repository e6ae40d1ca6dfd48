"""Published audio taggers: PANNs' Cnn14, and the Audio Spectrogram Transformer. Both use AudioSet's 527 classes."""
