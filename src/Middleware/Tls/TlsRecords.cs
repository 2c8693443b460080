using ByteStreams.Transport;

namespace ByteStreams.Tls;

/// <summary>
/// Follows the headers of the records that are received (RFC 8446, 5.1), which SslStream does not report: whether one is incomplete, and
/// how many in a row had no application data. Written by the flow that reads, read by the heartbeat.
/// </summary>
internal sealed class TlsRecords
{
    /// <summary>
    /// Records in a row without application data, such as KeyUpdates, session tickets and empty ones; BoringSSL has the same bound, Go 16.
    /// </summary>
    public const int MostWithoutData = 32;

    private const int HeaderLength = 5;

    private int _headerLength;
    private int _bodyLength;
    private int _bodyMissing;
    private int _unfinished;

    /// <summary>What is called when a record begins that is incomplete; null where no timeout counts from there.</summary>
    public IProgressObserver? Observer { get; set; }

    /// <summary>All bytes received.</summary>
    public long Received { get; private set; }

    /// <summary>Records that are complete, since the last application data.</summary>
    public int WithoutData { get; private set; }

    /// <summary>Bytes of the record that is incomplete; zero between two records.</summary>
    public int Unfinished => Volatile.Read(ref _unfinished);

    /// <summary>Application data was decrypted.</summary>
    public void OnData() => WithoutData = 0;

    /// <summary>Notes received bytes, and reports a record that begins in them and is incomplete.</summary>
    public void Add(ReadOnlySpan<byte> bytes)
    {
        Received += bytes.Length;
        bool begins = false;
        while (!bytes.IsEmpty)
        {
            if (_headerLength < HeaderLength)
            {
                begins |= _headerLength == 0;
                if (_headerLength >= 3)
                {
                    _bodyLength = (_bodyLength << 8) | bytes[0];
                }

                _headerLength++;
                bytes = bytes[1..];
                _bodyMissing = _bodyLength;
            }
            else
            {
                int taken = Math.Min(_bodyMissing, bytes.Length);
                _bodyMissing -= taken;
                bytes = bytes[taken..];
            }

            if (_headerLength == HeaderLength && _bodyMissing == 0)
            {
                (_headerLength, _bodyLength) = (0, 0);
                WithoutData++;
                begins = false;
            }
        }

        if (begins)
        {
            Observer?.OnRecordBegins();
        }

        Volatile.Write(ref _unfinished, _headerLength + _bodyLength - _bodyMissing);
    }
}
