namespace ByteStreams.Streams;

/// <summary>Where a frame is in the buffered bytes. The default value: the length is not known yet.</summary>
/// <param name="Total">All bytes that belong to the frame, with header and trailer. More than zero if the length is known.</param>
/// <param name="Start">The first byte of what a read returns.</param>
/// <param name="Length">How many bytes a read returns.</param>
internal readonly record struct FrameBounds(long Total, int Start, int Length);
