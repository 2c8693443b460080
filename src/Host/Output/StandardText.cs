using System.Text;

namespace StreamsHost.Output;

/// <summary>Writes text to standard output (1) or standard error (2), without <see cref="Console"/>, whose writers share one lock.</summary>
internal sealed class StandardText(int descriptor)
{
    /// <summary>PIPE_BUF of Linux: a non-blocking pipe accepts this many bytes or none.</summary>
    private const int Chunk = 4096;

    /// <summary>The wait after EAGAIN: another process of the terminal may have made the output non-blocking.</summary>
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(20);

    private readonly Lazy<Stream> _stream = new(() => StandardStream.Open(descriptor));

    public static Encoding Encoding { get; } = new UTF8Encoding(encoderShouldEmitUTF8Identifier: false);

    /// <summary>Writes a text. Blocks while the output is full.</summary>
    /// <exception cref="IOException">The write failed: the reader is gone, or the disk is full.</exception>
    public void Write(string text)
    {
        ReadOnlySpan<byte> rest = Encoding.GetBytes(text);
        while (rest.Length > 0)
        {
            ReadOnlySpan<byte> chunk = rest[..Math.Min(Chunk, rest.Length)];
            try
            {
                _stream.Value.Write(chunk);
            }
            catch (IOException full) when (full.HResult == StandardStream.WouldBlock)
            {
                Thread.Sleep(Pause);
                continue;
            }

            rest = rest[chunk.Length..];
        }

        _stream.Value.Flush();
    }
}
