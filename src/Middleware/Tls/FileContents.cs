using System.Runtime.ExceptionServices;

namespace ByteStreams.Tls;

/// <summary>The contents of a certificate's files; both null for a certificate in the system's store.</summary>
internal sealed record FileContents(byte[]? File, byte[]? Key)
{
    public bool Equals(FileContents? other) => other is not null && Same(File, other.File) && Same(Key, other.Key);

    public override int GetHashCode() => HashCode.Combine(File?.Length, Key?.Length);

    private static bool Same(byte[]? left, byte[]? right) => left.AsSpan().SequenceEqual(right);
}

/// <summary>The result of one read of a location: contents, or the error.</summary>
internal readonly record struct FileReading(FileContents? Contents, ExceptionDispatchInfo? Error)
{
    public FileContents Get()
    {
        Error?.Throw();
        return Contents!;
    }
}
