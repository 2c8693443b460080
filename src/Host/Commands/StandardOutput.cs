using StreamsHost.Output;

namespace StreamsHost.Commands;

/// <summary>Standard output as bytes. A write reports that the reader is gone, which the console's own stream ignores.</summary>
internal sealed class StandardOutput : IDisposable
{
    /// <summary>EPIPE, as errno(3) numbers it on Linux and macOS.</summary>
    private const int BrokenPipe = 32;

    private readonly Stream _stream = StandardStream.Open(1);

    /// <exception cref="GoneException">The reader of the output is gone.</exception>
    /// <exception cref="CommandException">The write failed, such as on a full disk.</exception>
    public async ValueTask WriteAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
    {
        try
        {
            await _stream.WriteAsync(bytes, cancellationToken);
        }
        catch (IOException gone) when (gone.HResult == BrokenPipe)
        {
            throw new GoneException(gone);
        }
        catch (IOException failed)
        {
            throw new CommandException($"standard output: {failed.Message}", failed);
        }
    }

    public void Dispose() => _stream.Dispose();

    /// <summary>The reader of the output is gone, as after <c>| head -n 1</c>.</summary>
    public sealed class GoneException(Exception inner) : Exception("The reader of the output is gone.", inner);
}
