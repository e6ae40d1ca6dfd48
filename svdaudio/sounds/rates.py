"""Sample rates of the vocoder, and of the finished sounds of runs."""

VOCODER_RATE_HZ = 16_000
OUTPUT_RATE_HZ = 22_050
