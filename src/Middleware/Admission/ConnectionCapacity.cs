using ByteStreams.Transport;

namespace ByteStreams.Admission;

/// <summary>How many connections the process has descriptors and memory for.</summary>
/// <param name="Limit">The limit of open descriptors.</param>
/// <param name="AtRest">The descriptors that are open without any connection.</param>
/// <param name="Memory">What the runtime may use, in bytes: it knows the limit of the container.</param>
internal sealed record ConnectionCapacity(DescriptorLimit Limit, long AtRest, long Memory)
{
    /// <summary>An idle connection costs about 4 KiB, and a relay's two; what is buffered has limits of its own.</summary>
    private const long MemoryEach = 4096;

    /// <summary>The share of the memory that idle connections may take: the rest is for what they buffer, and for the program.</summary>
    private const int MemoryShare = 2;

    /// <summary>
    /// Descriptors that are opened after the count: some twenty for the HTTP side and the assemblies that the first connection and the first
    /// request load; the rest for clients beyond the total that are accepted and not refused yet.
    /// </summary>
    private long OpenedLater => Math.Clamp(Limit.Most / 32, 18, 64);

    /// <summary>What the process has now.</summary>
    /// <param name="sockets">Descriptors of connections that are open already.</param>
    public static ConnectionCapacity Measure(long sockets) => new(
        DescriptorLimit.Process, DescriptorLimit.CountOpen() - sockets, GC.GetGCMemoryInfo().TotalAvailableMemoryBytes);

    /// <summary>The number of connections: the smaller one of what the descriptors and what the memory allow, at least 1.</summary>
    /// <param name="relays">Whether connections have a second socket, to an upstream.</param>
    public int Derive(bool relays)
    {
        long sockets = Math.Min(Limit.StopOf(DescriptorUse.Accept) - AtRest - OpenedLater, Memory / MemoryShare / MemoryEach);
        return (int)Math.Clamp(sockets / SocketsEach(relays), 1, int.MaxValue);
    }

    /// <summary>The descriptors of a connection.</summary>
    public static int SocketsEach(bool relays) => relays ? 2 : 1;
}
