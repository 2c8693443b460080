using ByteStreams.Tls;
using ByteStreams.Transport;

namespace ByteStreams.Middleware.Tests.Tls;

public class TlsRecordsTests
{
    /// <summary>A handshake record of 4 bytes, an empty one, and one of 259 bytes.</summary>
    private static readonly byte[] Three =
        [22, 3, 3, 0, 4, 1, 2, 3, 4, 23, 3, 3, 0, 0, 23, 3, 3, 1, 3, .. Enumerable.Repeat((byte)0xAA, 259)];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(5)]
    [InlineData(7)]
    [InlineData(10_000)]
    public void Add_RecordsInChunks_CountsEachOnce(int chunk)
    {
        var records = new TlsRecords();

        foreach (byte[] part in Three.Chunk(chunk))
        {
            records.Add(part);
        }

        Assert.Equal((3, 0, (long)Three.Length), (records.WithoutData, records.Unfinished, records.Received));
        records.OnData();
        Assert.Equal(0, records.WithoutData);
    }

    [Fact]
    public void Unfinished_ByteByByte_IsWhatCameOfTheLastRecord()
    {
        var records = new TlsRecords();
        int[] ends = [9, 14, Three.Length];
        for (int i = 0; i < Three.Length; i++)
        {
            records.Add(Three.AsSpan(i, 1));

            int began = ends.LastOrDefault(end => end <= i + 1);
            Assert.Equal(i + 1 - began, records.Unfinished);
        }
    }

    [Fact]
    public void Observer_RecordBegins_IsCalledOnceForEachThatIsIncomplete()
    {
        var seen = new Begins();
        var records = new TlsRecords { Observer = seen };

        records.Add(Three.AsSpan(0, 9));
        Assert.Equal(0, seen.Count);
        records.Add(Three.AsSpan(9, 7));
        Assert.Equal(1, seen.Count);
        records.Add(Three.AsSpan(16, 100));
        Assert.Equal(1, seen.Count);
        records.Add([.. Three.AsSpan(116), 22]);
        Assert.Equal((2, 1), (seen.Count, records.Unfinished));
    }

    private sealed class Begins : IProgressObserver
    {
        public int Count { get; private set; }

        public void OnRecordBegins() => Count++;

        public void OnReadWaits() => Assert.Fail("No read waits.");

        public void OnSendWaits() => Assert.Fail("No send waits.");

        public void OnDirectionEnds() => Assert.Fail("No direction ends.");

        public void OnRelayed(IConnectionProgress upstream) => Assert.Fail("Nothing is relayed.");
    }
}
