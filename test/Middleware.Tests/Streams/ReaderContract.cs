namespace ByteStreams.Middleware.Tests.Streams;

/// <summary>R1 to R21, the same for a reader that is fed by hand and for one over a pipe.</summary>
public abstract partial class ReaderContract : ReaderTestBase
{
    protected abstract ReaderSource Make(int limit = 65536);

    /// <summary>Makes a source that has been fed <paramref name="chunks"/>.</summary>
    private ReaderSource Fed(params string[] chunks)
    {
        ReaderSource source = Make();
        source.Feed(chunks);
        return source;
    }
}

public sealed class ReaderFedByHand : ReaderContract
{
    protected override ReaderSource Make(int limit) => new HandFed(limit);
}

public sealed class ReaderOverPipe : ReaderContract
{
    protected override ReaderSource Make(int limit) => new OverPipe(limit);
}

public sealed class ReaderOverChunks : ReaderContract
{
    protected override ReaderSource Make(int limit) => new OverChunks(limit);
}
