using ByteStreams;

namespace StreamsHost.Commands;

/// <summary>Copies both directions of <c>connect</c> independently.</summary>
internal sealed class Transfer(ByteStreamConnection connection, Stream input, StandardOutput output)
{
    /// <summary>How long the remaining bytes may be sent to a peer that has closed its direction.</summary>
    private static readonly TimeSpan LastBytes = TimeSpan.FromSeconds(5);

    private bool _afterCr;

    /// <summary>Whether each LF is sent as CR LF.</summary>
    public bool Crlf { get; init; }

    public long Sent { get; private set; }

    public long Received { get; private set; }

    /// <summary>Runs until the peer closes its direction, and then closes the connection.</summary>
    /// <exception cref="IOException">The connection failed, or TLS was truncated.</exception>
    /// <exception cref="CommandException">The input cannot be read.</exception>
    /// <exception cref="StandardOutput.GoneException">The reader of the output is gone.</exception>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        Task receiving = ReceiveAsync(cancellationToken);
        Task sending = SendAsync(cancellationToken);
        if (await Task.WhenAny(receiving, sending) == sending && sending.IsFaulted && connection.Writer.IsClosing)
        {
            // The connection failed: reading throws the cause, after the bytes received before it.
            await receiving;
        }
        else if (sending.IsFaulted)
        {
            await sending;
        }

        await receiving;
        connection.Writer.Close();
        try
        {
            await connection.Writer.WaitClosedAsync(cancellationToken).WaitAsync(LastBytes, cancellationToken);
        }
        catch (TimeoutException)
        {
            connection.Writer.Abort();
            throw new IOException("the peer closed and does not read the remaining bytes.");
        }
    }

    private async Task ReceiveAsync(CancellationToken cancellationToken)
    {
        while (await connection.Reader.BorrowAsync(cancellationToken) is { IsEmpty: false } bytes)
        {
            foreach (ReadOnlyMemory<byte> part in bytes)
            {
                await output.WriteAsync(part, cancellationToken);
            }

            Received += bytes.Length;
        }
    }

    private async Task SendAsync(CancellationToken cancellationToken)
    {
        byte[] buffer = new byte[65536];
        while (await ReadAsync(buffer, cancellationToken) is > 0 and int count)
        {
            Write(buffer.AsSpan(0, count));
            await connection.Writer.DrainAsync(cancellationToken);
        }

        connection.Writer.WriteEof();
    }

    private async ValueTask<int> ReadAsync(byte[] buffer, CancellationToken cancellationToken)
    {
        try
        {
            return await input.ReadAsync(buffer, cancellationToken);
        }
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException)
        {
            throw new CommandException($"standard input: {unreadable.Message}", unreadable);
        }
    }

    private void Write(ReadOnlySpan<byte> bytes)
    {
        if (!Crlf)
        {
            Sent += bytes.Length;
            connection.Writer.Write(bytes);
            return;
        }

        while (!bytes.IsEmpty)
        {
            int lf = bytes.IndexOf((byte)'\n');
            int count = lf < 0 ? bytes.Length : lf;
            if (count > 0)
            {
                connection.Writer.Write(bytes[..count]);
                Sent += count;
                _afterCr = bytes[count - 1] == (byte)'\r';
            }

            if (lf >= 0)
            {
                ReadOnlySpan<byte> end = _afterCr ? "\n"u8 : "\r\n"u8;
                connection.Writer.Write(end);
                Sent += end.Length;
                _afterCr = false;
                count++;
            }

            bytes = bytes[count..];
        }
    }
}
