namespace ByteStreams.Streams;

/// <summary>How a framing changes the start of a frame that is written.</summary>
/// <param name="Length">How many bytes of the head were filled in.</param>
/// <param name="At">Where the head belongs in the frame: after this many of its bytes.</param>
/// <param name="Replaced">How many of the frame's bytes the head replaces.</param>
internal readonly record struct FrameHead(int Length, int At = 0, int Replaced = 0);
