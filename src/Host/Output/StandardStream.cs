using Microsoft.Win32.SafeHandles;

namespace StreamsHost.Output;

/// <summary>The streams of standard output and standard error, without the console's: those ignore that the reader is gone.</summary>
internal static class StandardStream
{
    /// <summary>EAGAIN: a descriptor that does not block is full.</summary>
    public static readonly int WouldBlock = OperatingSystem.IsMacOS() ? 35 : 11;

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

            // A file has no reader that goes away, and a stream writes it at its own offset, over what other processes write.
        }

        return descriptor == 1 ? Console.OpenStandardOutput() : Console.OpenStandardError();
    }
}
