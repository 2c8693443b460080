using System.IO.Pipelines;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Tls;

/// <summary>The failure of a pipe, without a read.</summary>
internal static class PipeFailure
{
    /// <summary>Returns the error that the pipe has failed with; null if it has not failed, or cannot be read now.</summary>
    public static Exception? Find(PipeReader pipe)
    {
        try
        {
            if (pipe.TryRead(out ReadResult read))
            {
                pipe.AdvanceTo(read.Buffer.Start);
            }

            return null;
        }
        catch (Exception error) when (error is IOException or ConnectionAbortedException)
        {
            return error;
        }
        catch (InvalidOperationException)
        {
            // The pipe is completed, or another read is pending.
            return null;
        }
    }
}
