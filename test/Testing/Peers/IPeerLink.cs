namespace ByteStreams.Testing;

/// <summary>What a <see cref="ScriptedPeer"/> does, over a socket or in memory.</summary>
internal interface IPeerLink : IAsyncDisposable
{
    Task SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken);

    /// <summary>0 at the end; throws where the connection was reset.</summary>
    Task<int> ReceiveAsync(Memory<byte> room, CancellationToken cancellationToken);

    Task HalfCloseAsync(CancellationToken cancellationToken);

    void Reset();
}
