using ByteStreams.Transport;

namespace ByteStreams.Tls;

/// <summary>
/// Tracks the headers of received records (RFC 8446, 5.1), which SslStream does not expose: whether a record is incomplete, and how many
/// consecutive records had no application data. Written by the reading task, read by the heartbeat.
/// </summary>
internal sealed class TlsRecords
{
    /// <summary>
    /// The maximum number of consecutive records without application data, such as KeyUpdates, session tickets and empty records. BoringSSL
    /// has the same limit, Go 16.
    /// </summary>
    public const int MaxWithoutData = 32;

    /// <summary>The length of a record's header in bytes.</summary>
    public const int HeaderLength = 5;

    private int _headerLength;
    private int _bodyLength;
    private int _bodyMissing;
    private int _unfinished;

    /// <summary>Called when an incomplete record begins; null if no timeout starts there.</summary>
    public IProgressObserver? Observer { get; set; }

    /// <summary>The number of bytes received.</summary>
    public long Received { get; private set; }

    /// <summary>The number of complete records since the last application data.</summary>
    public int WithoutData { get; private set; }

    /// <summary>The number of bytes of the incomplete record; zero between two records.</summary>
    public int Unfinished => Volatile.Read(ref _unfinished);

    /// <summary>Called when application data was decrypted.</summary>
    public void OnData() => WithoutData = 0;

    /// <summary>Parses received bytes, and reports an incomplete record that begins in them.</summary>
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
