using Microsoft.Win32.SafeHandles;

namespace StreamsHost.Commands;

/// <summary>Standard output as bytes, which tells when nobody reads it any more: the console's own stream swallows that, for ever.</summary>
internal sealed class StandardOutput : IDisposable
{
    /// <summary>EPIPE, as errno(3) numbers it on Linux and macOS.</summary>
    private const int BrokenPipe = 32;

    /// <summary>EAGAIN: a descriptor that does not block is full.</summary>
    public static readonly int WouldBlock = OperatingSystem.IsMacOS() ? 35 : 11;

    private readonly Stream _stream = Open(1);

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

    /// <summary>Opens standard output (1) or standard error (2).</summary>
    public static Stream Open(int descriptor)
    {
        if (!OperatingSystem.IsWindows())
        {
            var file = new FileStream(new SafeFileHandle(descriptor, ownsHandle: false), FileAccess.Write, bufferSize: 0);
            if (!file.CanSeek)
            {
                return file;
            }

            // A file never goes away; and it would be written at an offset of the stream's own, over what others write to it.
        }

        return descriptor == 1 ? Console.OpenStandardOutput() : Console.OpenStandardError();
    }

    /// <summary>Nobody reads the output any more, as behind <c>| head -n 1</c>.</summary>
    public sealed class GoneException(Exception inner) : Exception("Nobody reads the output any more.", inner);
}
