namespace ByteStreams.Cluster.Tests.Scenarios;

/// <summary>Linux signal numbers.</summary>
internal enum Signal
{
    Kill = 9,
    Term = 15,
    Continue = 18,
    Stop = 19,
}
