namespace ByteStreams.Cluster.Tests.Shows;

/// <summary>Signals of Linux, by their numbers.</summary>
internal enum Signal
{
    Kill = 9,
    Term = 15,
    Continue = 18,
    Stop = 19,
}
