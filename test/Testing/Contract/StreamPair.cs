namespace ByteStreams.Testing;

/// <summary>The two ends of a connection, as a <see cref="StreamContract"/> looks at it.</summary>
/// <param name="near">One end.</param>
/// <param name="far">The other end.</param>
/// <param name="owner">What is disposed when a case is over, behind both ends; null for nothing.</param>
public sealed class StreamPair(
    (ByteStreamReader Reader, ByteStreamWriter Writer) near, (ByteStreamReader Reader, ByteStreamWriter Writer) far, IAsyncDisposable? owner = null)
    : IAsyncDisposable
{
    /// <summary>Makes a pair of two connections.</summary>
    /// <param name="near">One end; disposed with the pair.</param>
    /// <param name="far">The other end; disposed with the pair.</param>
    public StreamPair(ByteStreamConnection near, ByteStreamConnection far)
        : this((near.Reader, near.Writer), (far.Reader, far.Writer), new Both(near, far))
    {
    }

    /// <summary>What one end reads.</summary>
    public ByteStreamReader NearReader => near.Reader;

    /// <summary>What it writes with; <see cref="FarReader"/> gets it.</summary>
    public ByteStreamWriter NearWriter => near.Writer;

    /// <summary>What the other end reads.</summary>
    public ByteStreamReader FarReader => far.Reader;

    /// <summary>What it writes with; <see cref="NearReader"/> gets it.</summary>
    public ByteStreamWriter FarWriter => far.Writer;

    /// <summary>Aborts what a case has left open, and disposes the owner.</summary>
    /// <returns>When nothing is left.</returns>
    public async ValueTask DisposeAsync()
    {
        near.Writer.Abort();
        far.Writer.Abort();
        if (owner is not null)
        {
            await owner.DisposeAsync().ConfigureAwait(false);
        }
    }

    private sealed class Both(ByteStreamConnection near, ByteStreamConnection far) : IAsyncDisposable
    {
        public async ValueTask DisposeAsync()
        {
            await near.DisposeAsync().ConfigureAwait(false);
            await far.DisposeAsync().ConfigureAwait(false);
        }
    }
}
