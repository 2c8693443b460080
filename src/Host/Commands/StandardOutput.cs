using Microsoft.Win32.SafeHandles;

namespace StreamsHost.Commands;

/// <summary>Standard output as bytes, which tells when nobody reads it any more: the console's own stream swallows that, for ever.</summary>
internal sealed class StandardOutput : IDisposable
{
    /// <summary>EPIPE, as errno(3) numbers it on Linux and macOS.</summary>
    private const int BrokenPipe = 32;

    private readonly Stream _stream = Open();

    /// <exception cref="GoneException">Nobody reads it any more.</exception>
    /// <exception cref="CommandException">It cannot be written, such as to a full disk.</exception>
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

    private static Stream Open()
    {
        if (!OperatingSystem.IsWindows())
        {
            var file = new FileStream(new SafeFileHandle(1, ownsHandle: false), FileAccess.Write, bufferSize: 0);
            if (!file.CanSeek)
            {
                return file;
            }

            // A file never goes away; and it would be written at an offset of the stream's own, over what others write to it.
        }

        return Console.OpenStandardOutput();
    }

    /// <summary>Nobody reads the output any more, as behind <c>| head -n 1</c>.</summary>
    public sealed class GoneException(Exception inner) : Exception("Nobody reads the output any more.", inner);
}
